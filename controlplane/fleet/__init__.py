"""A complete fleet on one machine: what `leadplane up` starts and `leadplane down` stops."""
