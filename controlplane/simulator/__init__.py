"""The simulated driver: runs the same machines in virtual time, under any fault."""
