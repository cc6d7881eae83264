"""The command line: every command of the leadplane program."""
