"""Measurements of Leadplane, each beside a peer that does the same on the same machine."""
