"""What is to be looked at when a fleet is not well, or before it is relied upon."""
