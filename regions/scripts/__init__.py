"""The commands a region's store understands: Lua for the store, and a twin in Python."""

LUA_SOURCES = (
    "values.lua",
    "store.lua",
    "groups.lua",
    "sessions.lua",
    "membership.lua",
    "call.lua",
)
"""In the order in which they make one program: values first, the registration of calls last."""
