"""Tests of planning placement."""
