"""Whole fleets of real processes, broken on purpose."""
