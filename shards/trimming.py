"""How far the stored logs of one shard may be cut off at the front.

Theory of operation. What every store has applied is of use to nobody, but for a little that is kept
for whoever asks a moment later. What some store lacks is worth keeping, since reading entries is
much cheaper than copying a snapshot; but only so much of it: a store may be away for ever. So the
leader puts a *mark* behind every so many entries or bytes, and trims to the newest mark but one
that all stores have passed, or to the first that leaves no more behind it than is held, whichever
is further on.

Each store is asked by one command at a time, and again until it has come so far: one command
deletes a limited number of entries, so that no renewal waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

STEP_ENTRIES = 256
STEP_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Hold:
    """How much is kept at most for stores that lack it."""

    entries: int
    bytes: int


HOLD = Hold(16_384, 4 * 1024 * 1024)
HOLD_FOR_COPY = Hold(1_000_000, 64 * 1024 * 1024)
"""While a store is being copied to, which would otherwise begin anew."""
HOLD_NOTHING = Hold(0, 0)


class Trimming:
    """The marks of one log, and which stores are being asked to trim."""

    __slots__ = ("_asked", "_marks", "upto")

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque()  # (sequence, bytes written up to it)
        self._asked: set[int] = set()
        self.upto = 0

    def wrote(self, sequence: int, written_bytes: int) -> None:
        """The log ends at `sequence`, after so many bytes that this process has written to it."""
        last, at_bytes = self._marks[-1] if self._marks else (0, 0)
        if sequence - last >= STEP_ENTRIES or written_bytes - at_bytes >= STEP_BYTES:
            self._marks.append((sequence, written_bytes))

    def advance(self, commit: int, covered: Iterable[int], hold: Hold) -> bool:
        """Whether there is more to trim than before; `upto` says how far."""
        if len(self._marks) < 2:
            return False
        passed_by_all = min(covered, default=0)
        tail, tail_bytes = self._marks[-1]
        before = self.upto
        while len(self._marks) > 1:
            sequence, at_bytes = self._marks[0]
            is_held = sequence > passed_by_all
            fits = tail_bytes - at_bytes <= hold.bytes and tail - sequence <= hold.entries
            if sequence > commit or (is_held and fits):
                break
            self.upto = sequence
            self._marks.popleft()
        return self.upto > before

    def asks(self, store: int) -> bool:
        """Whether to ask a store now; it is not asked again before it has answered."""
        if store in self._asked:
            return False
        self._asked.add(store)
        return True

    def answered(self, store: int, base: int | None) -> bool:
        """A store's log begins after `base` (None: not known); whether to ask it once more."""
        self._asked.discard(store)
        return base is not None and base < self.upto
