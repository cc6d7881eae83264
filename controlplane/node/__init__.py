"""The pure core of a node: sessions, watches, leaderships and requests, wired together."""

from controlplane.node.node import Node

__all__ = ["Node"]
