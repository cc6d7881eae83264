"""Documents by name: what was edited, over what holds by default.

Every node keeps one feed of what is in force in its region, filled from its region's copy of the
system shard (controlplane/node/documents), and whoever needs a setting of the fleet asks it. An
edit is checked against another feed: the newest revisions, read at the leader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from config.builtin import builtin_documents, builtin_schema
from config.document import FLEET_KINDS, Kind, kind_of, region_name, region_of, schema_name
from config.revision import Revision


class Feed:
    """Documents by name. The greater version of one wins, wherever it was learnt."""

    def __init__(self, defaults: Iterable[Revision] = ()) -> None:
        """`defaults` are of this fleet, beside those that every fleet has."""
        self._defaults = {each.name: each for each in (*builtin_documents(), *defaults)}
        self._edited: dict[str, Revision] = {}
        self.position = 0  # of the newest revision that was applied

    def copy(self, edited: Iterable[Revision]) -> Feed:
        """A feed with the same defaults, and these revisions."""
        feed = Feed(self._defaults.values())
        for revision in edited:
            feed.apply(revision)
        return feed

    def apply(self, revision: Revision, position: int = 0) -> bool:
        """Take a current revision; say whether it was news."""
        self.position = max(self.position, position)
        known = self._edited.get(revision.name)
        if known is not None and known.version >= revision.version:
            return False
        self._edited[revision.name] = revision
        return True

    def have(self, name: str, revision: Revision | None, position: int) -> bool:
        """Have this revision in force, be it older than what was; None: the default, if there is
        one. Says whether that is news."""
        if self._edited.get(name) == revision:
            return False
        if revision is None:
            del self._edited[name]
        else:
            self._edited[name] = revision
        self.position = max(self.position, position)
        return True

    def in_force(self, name: str) -> Revision | None:
        """What was put in force by somebody, a deletion too; None where the default holds."""
        return self._edited.get(name)

    def forget(self, name: str) -> None:
        """A document that was deleted long ago is not even remembered any more."""
        self._edited.pop(name, None)

    def latest(self, name: str) -> Revision | None:
        """The newest revision, which may say that the document was deleted."""
        return self._edited.get(name) or self._defaults.get(name)

    def get(self, name: str) -> Revision | None:
        """The revision in force, None when there is no such document."""
        found = self.latest(name)
        return found if found is not None and not found.deleted else None

    def edited(self) -> tuple[Revision, ...]:
        """Every revision that was ever edited, deletions among them, by name."""
        return tuple(self._edited[name] for name in sorted(self._edited))

    def all(self) -> tuple[Revision, ...]:
        """Every document that there is, by name."""
        names = sorted(self._defaults.keys() | self._edited.keys())
        found = (self.get(name) for name in names)
        return tuple(each for each in found if each is not None)

    def beginning(self, prefix: str) -> tuple[Revision, ...]:
        """Every document whose name begins so, by name: at less cost than all of them."""
        names = {name for name in self._defaults if name.startswith(prefix)}
        names |= {name for name in self._edited if name.startswith(prefix)}
        found = (self.get(name) for name in sorted(names))
        return tuple(each for each in found if each is not None)

    def with_one(self, revision: Revision) -> Feed:
        """The same documents with another revision of one of them."""
        others = (each for each in self.edited() if each.name != revision.name)
        return self.copy((*others, revision))

    # -- what the fleet's parts ask for

    def content(self, kind: Kind) -> dict[str, Any]:
        """The content of a kind of which there is one document; it always is there."""
        found = self.get(kind.value)
        assert found is not None, kind
        content: dict[str, Any] = found.content
        return content

    def regions(self) -> dict[str, dict[str, Any]]:
        """The content of every region's document, by the region's name."""
        return {
            region_of(each.name): each.content
            for each in self.all()
            if kind_of(each.name) is Kind.REGION
        }

    def region(self, region: str) -> dict[str, Any] | None:
        """The content of one region's document."""
        found = self.get(region_name(region))
        return found.content if found is not None else None

    def schema_of(self, revision: Revision) -> Mapping[str, Any] | None:
        """The schema that a revision is held to, None when it is free of any."""
        kind = kind_of(revision.name)
        if kind in FLEET_KINDS:
            return builtin_schema(kind)
        found = self.get(schema_name(revision.schema)) if revision.schema else None
        return found.content if found is not None else None


def egress_usd_per_gb(region: Mapping[str, Any], to: str) -> float:
    """What a GB from a region, of which this is the document's content, to another one costs."""
    price: float = region["egress_usd_per_gb"].get(to, region["egress_elsewhere_usd_per_gb"])
    return price
