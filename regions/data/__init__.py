"""Published figures about real regions; where they come from stands in SOURCES.md beside this."""
