"""Checkers: what must hold in every run, said by what was seen from outside.

They take plain records (what stores were asked and answered, what clients saw, what nodes claimed),
never objects of the simulator, so that the same checkers serve runs of real processes.
"""
