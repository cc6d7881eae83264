"""Where stores are by the documents of regions, as one store's copy of the system shard has them.

A node that starts has no copy to follow yet, and perhaps it knows none of the stores that its
region's copy lies in. So whoever answers is asked: also a store that has left the group, or is
sealed, since an address that it knows is worth a try, whatever has become of it since. Of several
versions that are in force in some region, here or there, the greatest counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from config.document import REGION_PREFIX, region_of
from config.effect import LIVE_PREFIX, PARTITION
from config.revision import Revision, read_revision
from config.store_places import stores_placed
from controlplane.node.following import SYSTEM
from controlplane.node_plan import Place
from regions.codec import Code, as_bytes, as_text
from regions.conversation import Conversation
from regions.membership import VERSION_AT, ask_for_description, description_in
from regions.topology import GLOBAL_GROUP
from shards.scripts.snapshots import read_kv

PAGE_BYTES: Final = 256 * 1024
PREFIX: Final = f"{PARTITION}\0{LIVE_PREFIX}{REGION_PREFIX}"
RECORDS_AT, MORE_AT = 5, 6  # [code, version, state, description, applied, records, more]


@dataclass(slots=True)
class PlacedStores:
    """The documents of regions that were read, the newest of each."""

    _revisions: dict[str, Revision] = field(default_factory=dict)

    def take(self, revision: Revision) -> None:
        """Keep a revision, unless a later one of its document is known."""
        known = self._revisions.get(revision.name)
        if known is None or known.version < revision.version:
            self._revisions[revision.name] = revision

    def places(self) -> dict[str, Place]:
        """Where stores are."""
        return {
            store: Place(region_of(revision.name), zone, address, learned=True)
            for revision in self._revisions.values()
            if not revision.deleted
            for store, zone, address in stores_placed(revision.content)
        }


async def ask_for_places(talk: Conversation, placed: PlacedStores) -> None:
    """Read the documents of regions at one store, if it has any that can be read now.

    Raises ValueError where a document is of a format that is not known here.
    """
    shown = await talk.result(ask_for_description(GLOBAL_GROUP))
    if description_in(shown) is None:
        return
    version, after, more = shown[VERSION_AT], PREFIX, True
    while more:
        command = ["page", GLOBAL_GROUP, version, SYSTEM, "kv", after, PAGE_BYTES]
        page = await talk.result(command)
        if page[0] != Code.OK:
            return
        for name, record in page[RECORDS_AT]:
            after = as_text(name)
            if not after.startswith(PREFIX):
                return
            placed.take(read_revision(read_kv(as_bytes(record))[1]))
        more = bool(page[MORE_AT])
