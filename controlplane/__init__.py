"""The process: drivers of the machines, edges to the outside, duties of the global leader."""
