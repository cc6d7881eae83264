"""The newest revision of every document, kept from one request to the next.

Theory of operation. Every edit compares and raises the edition, so whoever reads the same edition
again would find the same documents: only the edition is read then. What an edit of this node makes
of them is known without reading. A leader of another epoch, which may have been made to go on
without what was lost, is asked anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from config.revision import Revision

KEPT_BYTES_MAX: Final = 64 * 1_048_576
"""Documents that are larger together are read at every request."""


@dataclass(frozen=True, slots=True)
class Edition:
    """Which edition it is: its number, the version of its key, and the epoch that answered."""

    number: int = 0
    version: int = 0
    epoch: int = 0


@dataclass(slots=True)
class NewestDocuments:
    """Those of one edition."""

    _edition: Edition | None = None
    _revisions: dict[str, Revision] = field(default_factory=dict)

    def at(self, edition: Edition) -> tuple[Revision, ...] | None:
        """The revisions as of an edition; None if they are not known."""
        return tuple(self._revisions.values()) if edition == self._edition else None

    def keep(self, edition: Edition, revisions: Iterable[Revision]) -> None:
        """These were found while it was that edition, from before they were read until after."""
        found = {each.name: each for each in revisions}
        is_fit = sum(len(each.data) for each in found.values()) <= KEPT_BYTES_MAX
        self._edition, self._revisions = (edition, found) if is_fit else (None, {})

    def edited(
        self, before: Edition, after: Edition, revision: Revision, gone: Revision | None
    ) -> None:
        """An edit on top of one edition has made another."""
        if before != self._edition or before.epoch != after.epoch:
            return
        found = {**self._revisions, revision.name: revision}
        if gone is not None:
            found.pop(gone.name, None)
        self.keep(after, found.values())
