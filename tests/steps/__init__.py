"""The global leader dies, sleeps or is cut off at every step of every kind of change."""
