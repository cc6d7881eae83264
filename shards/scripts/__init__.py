"""The commands a shard's store understands: Lua for the store, and a twin in Python."""

LUA_SOURCES = (
    "shard.lua",
    "entries.lua",
    "data.lua",
    "grants.lua",
    "log.lua",
    "reads.lua",
    "snapshots.lua",
    "learning.lua",
    "membership.lua",
    "draft_record.lua",
    "draft_data.lua",
    "drafts.lua",
    "draft_copy.lua",
)
"""In the order in which they follow those of the regions."""
