"""Rollouts at the global leader: what is written down, what is asked, and the loop that goes on."""
