"""Everything a fleet's stores have committed, in one file, and new stores made from it.

Both directions speak to the stores themselves, never to nodes: a fleet without a single node can be
backed up, and a fleet is restored before its first node starts.
"""
