"""The whole function library, as Leadplane loads it into its stores."""

from __future__ import annotations

from functools import cache

from regions import scripts as region_scripts
from regions.scripts.library import Library, assemble, read_sources
from shards import scripts as shard_scripts


@cache
def leadplane_library() -> Library:
    """Sources of regions, then those of shards.

    Every process of a release makes the same text. A store that holds another one is refused, so
    that never two stores of a group decide by different rules.
    """
    return assemble(
        read_sources("regions.scripts", region_scripts.LUA_SOURCES),
        read_sources("shards.scripts", shard_scripts.LUA_SOURCES),
    )
