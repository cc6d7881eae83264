"""One shard: who leads it, what it has agreed, and where it lives."""
