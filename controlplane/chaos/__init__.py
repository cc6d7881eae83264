"""Chaos: a real fleet under load is broken on purpose, and what its clients saw is judged."""
