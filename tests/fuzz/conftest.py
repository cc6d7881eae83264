"""A node that listens, as the tests of the edge have it."""

from tests.api.conftest import fleet, node

__all__ = ["fleet", "node"]
