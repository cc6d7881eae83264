"""Random commands on drafts: made, filled from outside and from within, ripe, dropped.

Parents from outside are made up as they are needed; those within the store are its other shards.
Some of them are closed by entries of their own, in seeds that are for that, since not much else is
answered by a shard that is closed.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from shards.entry import write_entry
from shards.reserved import BORN_KEY, CLOSED_KEY, FLOOR_KEY, RESERVED_PARTITION, WIPED_KEY, closing
from shards.scripts.draft_state import Draft, Parent
from shards.scripts.entries import parse_entry
from shards.scripts.snapshots import kv_record

if TYPE_CHECKING:
    from tests.conformance.generator import Generator

DRAFTED = tuple(f"d{number}" for number in range(1, 30))
NUMBERS = (1, 2, 3)
ATTEMPTS = ("1/p1", "2/p1", "2/p\u00fc", "3/a/b")
ALL = [0, 1 << 24]
HALVES = ([0, 1 << 23], [1 << 23, 1 << 24])
SELDOM = {
    "draft": 0.3, "draft_page": 0.4, "draft_data": 0.3, "draft_log": 0.4, "draft_local": 0.4,
    "draft_state": 0.3, "undraft": 0.1, "draft_read": 0.4,
}  # fmt: skip
FITTING = {
    "none": {"draft": 8},
    "": {"draft_page": 5, "draft_local": 8},
    "pages": {"draft_page": 3, "draft_data": 5},
    "walk": {"draft_local": 10},
    "log": {"draft_log": 5, "draft_local": 4},
    "final": {},
}
"""How often each command comes, by the phase of the parent that it is about."""
WRONG_PARENTS = ([], [ALL, ALL, ALL], [[5, 5]], [[0, (1 << 24) + 1]], [7], [[0]], [[-1, 5]])


class DraftCalls:
    """Arguments of the commands, made of what `of` has chosen."""

    def __init__(self, of: Generator, draw: Random, often: bool) -> None:
        self.of = of
        self.draw = draw
        self.often = often
        self.p = 0
        self.target = ""  # the shard of the command that was wanted
        self.commands = {
            "draft": (4, self._draft),
            "draft_page": (8, self._draft_page),
            "draft_data": (5, self._draft_data),
            "draft_log": (9, self._draft_log),
            "draft_local": (12, self._draft_local),
            "draft_state": (2, self._named),
            "undraft": (1, self._undraft),
            "draft_read": (2, self._draft_read),
        }

    def wanted(self) -> str | None:
        """One of these commands, None for any."""
        if self.of.group.state != "open" or self.draw.random() >= (0.4 if self.often else 0.02):
            return None
        self._choose()
        weights = SELDOM | FITTING[self.parent.phase if self.draft.number else "none"]
        return self.draw.choices(list(weights), list(weights.values()))[0]

    def effect(self) -> list[Any] | None:
        """Now and then one that ends a shard, or speaks of what only a store may say."""
        if not self.often or self.draw.random() >= 0.1:
            return None
        number = self.of.pick(*NUMBERS)
        return self.of.pick(
            *closing(number, self.of.log.ts + 1),
            ["w", number],
            ["w", number],
            ["p", RESERVED_PARTITION, FLOOR_KEY, b"3", self.draw.randrange(9)],
        )

    def broken_effects(self) -> list[list[Any]]:
        """None of these may be appended."""
        return [
            ["p", RESERVED_PARTITION, CLOSED_KEY, b"0", 1],
            ["p", "p", CLOSED_KEY, b"1", 1],
            ["p", RESERVED_PARTITION, BORN_KEY, b"1", 1],
            ["d", RESERVED_PARTITION, CLOSED_KEY],
            ["w", 0],
            ["w", "1"],
        ]

    @property
    def draft(self) -> Draft:
        return self.of.group.drafts.get(self.of.chosen) or Draft()

    @property
    def parent(self) -> Parent:
        parents = self.draft.parents
        return parents[self.p] if self.p < len(parents) else Parent((0, 1))

    def _named(self) -> list[Any]:
        if self.target:
            self.of.choose(self.target)
        else:
            self._choose()
        self.target = ""
        known = self.draft.number or self.draft.undrafted or self.of.pick(*NUMBERS)
        number = known if self.draw.random() < 0.95 else self.of.pick(*NUMBERS, known + 1)
        return [self.of.chosen, number]

    def _choose(self) -> None:
        """A shard that is none yet, and one of its parents."""
        group = self.of.group
        new = [d for d in DRAFTED if d not in group.grants and d not in group.shards]
        self.of.choose(self.of.pick(*(new[:2] if self.draw.random() < 0.9 else ()), DRAFTED[0]))
        self.target = self.of.chosen
        self.p = self.draw.randrange(2) if len(self.draft.parents) > 1 else 0

    def _head(self) -> list[Any]:
        """[shard, number, parent, attempt], mostly of the attempt that is on its way."""
        named = self._named()
        by = self.parent.by
        is_over = self.parent.phase in {"", "final"}
        if not by or self.draw.random() < (0.5 if is_over else 0.06):
            by = self.of.pick(*ATTEMPTS)
            if self.draw.random() < 0.5:
                by = f"{int(by[0]) + self.draw.randrange(40)}/p1"
        wrong = self.draw.random() < 0.02
        return [*named, 1 - self.p if wrong else self.p, by]

    def _draft(self) -> list[Any]:
        shard, number = self._named()
        if not self.draft.number:
            number = self.draft.undrafted + self.of.pick(0, 1, 1)
        if self.draw.random() < 0.05:
            return [shard, max(1, number), self.of.pick(*WRONG_PARENTS)]
        parents = self.of.pick([ALL], [HALVES[0]], [ALL, ALL], list(HALVES))
        known = [list(parent.slots) for parent in self.draft.parents]
        return [shard, max(1, number), known if known and self.draw.random() < 0.7 else parents]

    def _draft_page(self) -> list[Any]:
        head = self._head()
        part, records = self.of.page_of_records()
        if part == "kv" and self.draw.random() < 0.3:
            version = self.parent.cursor[1] + self.draw.randrange(9)
            key = self.of.pick(CLOSED_KEY, CLOSED_KEY, FLOOR_KEY, FLOOR_KEY, BORN_KEY, WIPED_KEY)
            value = b"%d" % self.of.pick(self.draft.number, self.draft.number, 9)
            records = [[f"\0{key}", kv_record((version, value))], *records]
        return [*head, part, records]

    def _draft_data(self) -> list[Any]:
        head = self._head()
        end = self.parent.closing
        seq = self.of.pick(end, end + self.of.pick(-1, 1), self.draw.randrange(30))
        return [*head, self.of.pick("0", "1", "4"), max(0, seq), self.draw.randrange(99)]

    def _draft_log(self) -> list[Any]:
        head = self._head()
        epoch, seq, chain = self.parent.cursor
        seq = max(0, seq + self.of.pick(0, 0, 0, 0, 0, 0, -1, 1))
        if self.draw.random() < 0.05:
            chain += 1
        blobs = self.of.entries(seq, chain, max(1, epoch + self.of.pick(0, 0, 1)))
        if self.draw.random() < 0.15:
            try:
                end = parse_entry(blobs[-1]).chain if blobs else chain
            except ValueError:
                return [*head, seq, chain, blobs]
            at = seq + len(blobs)
            number = self.draft.number if self.draw.random() < 0.9 else 9
            last = write_entry(at, end, epoch + 1, closing(max(1, number), 7))
            more = write_entry(at + 1, last.chain, epoch + 1, [["d", "p", "a"]])
            blobs += [last.blob, more.blob][: self.of.pick(1, 2)]
        return [*head, seq, chain, blobs]

    def _draft_local(self) -> list[Any]:
        head = self._head()
        groups = sorted(self.of.state.groups) or ["global"]
        name = groups[len(head[0]) % len(groups)] if self.draw.random() < 0.8 else "global"
        group = self.of.state.groups.get(name)
        logs = group.shards if group is not None else {}
        parents = sorted(shard for shard in logs if logs[shard].ts) or ["s1"]
        mark = self.of.pick(CLOSED_KEY, WIPED_KEY)
        ended = [shard for shard in parents if shard in logs and logs[shard].data.told(mark)]
        if ended and self.draw.random() < 0.4:
            parents = ended
        parent = parents[self.p % len(parents)] if self.draw.random() < 0.8 else "unknown"
        if self.draw.random() < 0.02:
            name = self.of.pick("a:b", "", 7)
        return [*head, name, parent, self.of.pick(0, 3_000, 200_000)]

    def _undraft(self) -> list[Any]:
        shard, number = self._named()
        return [shard, max(1, number - self.of.pick(0, 0, 1))]

    def _draft_read(self) -> list[Any]:
        if self.draw.random() < 0.4:
            self._named()
        part = self.of.pick("kv", "id", "hi", "x")
        return [self.of.chosen, part, "", self.of.room()]
