"""Documents that describe the fleet, and how a change to one of them rolls out."""
