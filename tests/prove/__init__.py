"""A long campaign of simulation in resumable slices, and the short one of every test run."""
