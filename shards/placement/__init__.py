"""Where shards should be led and held: costs, a solver, plans; run in a process of its own."""

import os

# One thread of linear algebra, before numpy is loaded: a solve must not take a small machine's
# other core from the nodes that lead there.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
