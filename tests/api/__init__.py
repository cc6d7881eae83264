"""The HTTP edge, over real sockets, in front of a node that lives in memory."""
