"""The commands a shard's store understands: Lua for the store, and a twin in Python."""
