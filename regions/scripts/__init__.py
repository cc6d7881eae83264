"""The commands a region's store understands: Lua for the store, and a twin in Python."""
