"""Tests: a mirror of the packages, then the suites that span them."""
