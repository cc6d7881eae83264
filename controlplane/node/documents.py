"""The fleet's documents as this node knows them: a reader of the system shard, filling one feed.

A revision is in force here as soon as this region's copy of the system shard shows it. One that
cannot be read, since a newer release wrote it, leaves what was known before in force, and is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.feed import Feed
from config.revision import HEAD_PREFIX, PARTITION, read_revision
from controlplane.node.following import SYSTEM

if TYPE_CHECKING:
    from controlplane.node.node import Node


class Documents:
    """What one node knows of the documents."""

    partition = PARTITION
    prefix = HEAD_PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self._is_read = False
        self.feed = Feed(node.plan.documents)

    def begun(self) -> None:
        """What is known stays in force."""

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """This is the current revision of a document."""
        try:
            revision = read_revision(value)
        except ValueError as complaint:
            detail = {"document": key.removeprefix(HEAD_PREFIX), "why": str(complaint)}
            self._node.happened("document-unreadable", SYSTEM, 0, detail)
            return
        is_news = self.feed.apply(revision, version)
        if is_news:
            self._node.sites.documented(revision)
        if is_news and self._is_read:
            detail = {
                "document": revision.name,
                "version": str(revision.version),
                "digest": revision.digest,
                "deleted": "yes" if revision.deleted else "no",
            }
            self._node.happened("document-applied", SYSTEM, 0, detail)

    def deleted(self, key: str, version: int) -> None:
        """A deleted document is not remembered any more."""
        name = key.removeprefix(HEAD_PREFIX)
        self.feed.forget(name)
        self._node.sites.forgotten(name)

    def scanned(self) -> None:
        """What there was is known; what comes now is news."""
        self._is_read = True
