"""A fleet whose nodes are started anew one after the other, while it serves."""
