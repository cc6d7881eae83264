"""Drills: every failure mode injected on a real fleet, and what shows it, timed (`make drills`)."""
