"""Tests of the looks of `leadplane doctor`."""
