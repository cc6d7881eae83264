"""Where shards should be led and held: costs, a solver, plans; run in a process of its own."""
