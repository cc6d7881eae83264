"""The command line: against a stub of the API, and against a real fleet."""
