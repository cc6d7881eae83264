"""The function library and its twin, held equal on real servers."""
