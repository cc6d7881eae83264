"""Random commands that change the stores of a group: ballots, seals, dumps, copies, merges.

They come by themselves at any time, and mostly when a group is sealed or a learner, since then
little else is answered. Like all others they nearly fit what the twin holds.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from regions.codec import pack
from regions.scripts.state import Group
from shards.scripts.entries import parse_entry

if TYPE_CHECKING:
    from tests.conformance.generator import Generator

ATTEMPTS = ("1/p1", "2/p1", "2/p\u00fc", "10/a/b")
PROCESSES = ("p1", "p2", "a/b", "p\u00fc")
SHARE = {"absent": 0.4, "open": 0.0, "sealed": 0.85, "learner": 0.9}
"""How much of what comes is of the weights below, by the state of the group."""

WEIGHTS = {
    "absent": {"install": 2, "learn": 3},
    "open": {},
    "sealed": {
        "seal": 3, "dump": 4, "range": 1, "merge": 12, "merge_tail": 5, "finish_install": 4,
        "learn": 1, "learned": 1, "learn_page": 4, "learn_data": 3, "learn_log": 4, "page": 1,
    },
    "learner": {
        "learn": 2, "learned": 3, "learn_page": 9, "learn_data": 7, "learn_log": 12,
        "merge": 8, "merge_tail": 3, "finish_install": 2,
    },
}  # fmt: skip
OF_NEXT = {"merge", "merge_tail"}


class MembershipCalls:
    """Arguments of the commands, made of what `of` has chosen."""

    def __init__(self, of: Generator, draw: Random) -> None:
        self.of = of
        self.draw = draw
        self.commands = {
            "ballot": (2, self._ballot),
            "accept": (2, self._accept),
            "seal": (0.8, self._seal),
            "dump": (1, self._dump),
            "learn": (0.3, self._learn),
            "learned": (0.3, self._learned),
            "learn_page": (0.3, self._learn_page),
            "learn_data": (0.3, self._learn_data),
            "learn_log": (0.3, self._learn_log),
            "merge_tail": (0.3, self._merge_tail),
            "merge": (0.3, self._merge),
            "finish_install": (0.5, self._finish_install),
        }

    def wanted(self) -> str | None:
        """A command for the state of the group, None for any."""
        state = self.group.state
        if state == "open" and self.group.version > 1:
            return self._after_a_switch()
        if self.draw.random() >= SHARE[state]:
            return None
        weights = WEIGHTS[state]
        return self.draw.choices(list(weights), list(weights.values()))[0]

    def _after_a_switch(self) -> str | None:
        """All sessions are gone, and grants are inherited."""
        if len(self.group.sessions) < len(PROCESSES) and self.draw.random() < 0.5:
            return "register"
        states = {grant.state_in(self.group.version) for grant in self.group.grants.values()}
        return "prepare" if "inherited" in states and self.draw.random() < 0.25 else None

    def version(self, op: str) -> int:
        """The version that the command is of, if it is to fit."""
        group = self.group
        if op in OF_NEXT or (op == "finish_install" and group.state != "open"):
            return group.next_version
        seldom = self.draw.random() < 0.1
        if (op == "finish_install" and seldom) or (op == "learn" and (not group.version or seldom)):
            return group.version + 1
        return 1 if op == "install" else group.version or 1

    @property
    def group(self) -> Group:
        return self.of.group

    def _attempt(self) -> str:
        known = [*self.group.merged, *(by for by, _ in self.group.tails)]
        if known and self.draw.random() < 0.7:
            return self.draw.choice(known)
        return self.of.pick(*ATTEMPTS)

    def _copier(self) -> str:
        if self.group.by and self.draw.random() < 0.93:
            return self.group.by
        return self.of.pick(*ATTEMPTS)

    def _ballot(self) -> list[Any]:
        return [max(1, self.group.register.n + self.of.pick(0, 1, 1, -1)), self.of.pick(*PROCESSES)]

    def _accept(self) -> list[Any]:
        found = self.group.register
        description = self.of.pick(b"next", b"next", b"next", b"\xffother")
        if found.n and self.draw.random() < 0.7:
            return [found.n, found.p, description]
        return [*self._ballot(), description]

    def _seal(self) -> list[Any]:
        known, to = self.group.next, self.group.next_version
        if known and self.draw.random() < 0.8:
            return [known, max(0, to + self.of.pick(0, 0, -1, -1, 1, 1, 2))]
        return [self.of.pick(b"next", b"next", b"\xffother"), to]

    def _dump(self) -> list[Any]:
        after = self.of.pick("", "", "s", "s1", self.of.chosen)
        return [after, self.of.room(), self.of.pick(0, 1)]

    def _learn(self) -> list[Any]:
        number, _, process = self.group.by.partition("/")
        known = self.group.shown_description
        told = known if known and self.draw.random() < 0.9 else b"description"
        if not number or self.draw.random() < 0.2:
            return [self.of.pick(*ATTEMPTS), told]
        later = max(1, int(number) + self.of.pick(0, 0, 0, 1, -1))
        return [f"{later}/{self.of.pick(process, process, 'p1', 'q')}", told]

    def _learned(self) -> list[Any]:
        return [self._copier(), self.of.pick("", "", "s1", "t"), self.of.pick(1, 1, 2, 900)]

    def _learn_page(self) -> list[Any]:
        if self.draw.random() < 0.05:
            return [self.of.chosen, self._copier(), "", []]
        part, records = self.of.page_of_records()
        return [self.of.chosen, self._copier(), part, records]

    def _learn_data(self) -> list[Any]:
        paged = sorted(self.group.paged)
        if paged and self.draw.random() < 0.7:
            self.of.choose(self.draw.choice(paged))
        return [self.of.chosen, self._copier(), *self.of.base_to_adopt()]

    def _learn_log(self) -> list[Any]:
        log = self.of.log
        sequence = self.of.pick(log.ts, log.ts, log.cm, self.of.about(log.cm, 2))
        epoch, chain = self.of.position(sequence)
        entries = self.of.entries(sequence, chain, max(1, epoch + self.of.pick(0, 0, 1)))
        return [self.of.chosen, self._copier(), sequence, chain, entries]

    def _merge_tail(self) -> list[Any]:
        attempt = self._attempt()
        staged = self.group.tails.get((attempt, self.of.chosen), {})
        sequence = max(staged, default=self.of.log.cm)
        if staged and self.draw.random() < 0.8:
            last = parse_entry(staged[sequence])
            epoch, chain = last.epoch, last.chain
        else:
            sequence = self.of.log.cm
            epoch, chain = self.of.position(sequence)
        blobs = self.of.entries(sequence, chain, max(1, epoch, self.of.log.te + 1))
        numbered: list[Any] = [[seq, blob] for seq, blob in enumerate(blobs, sequence + 1)]
        if self.draw.random() < 0.05:
            numbered.append(self.of.pick([1], [0, b"x"], [1, b"\xc1"], 7))
        return [self.of.chosen, attempt, numbered]

    def _merge(self) -> list[Any]:
        tails = sorted(of for of, entries in self.group.tails.items() if entries)
        if tails and self.draw.random() < 0.4:
            attempt, shard = self.draw.choice(tails)
            self.of.choose(shard)
            staged = self.group.tails[attempt, shard]
            first, last = min(staged), max(staged)
            end = parse_entry(staged[last])
            log = [first, False, str(end.epoch), last, end.chain]
        else:
            attempt, log = self._attempt(), self._log_to_merge()
        return [self.of.chosen, attempt, *self._authority(), *self._ending(log)]

    def _log_to_merge(self) -> list[Any]:
        log = self.of.log
        before = self.of.pick(log.cm, log.cm, log.ts, max(0, log.ts - 1), self.of.about(log.cm, 2))
        _, chain = self.of.position(before)
        epoch = max(1, log.te + self.of.pick(0, 0, 1, 1, 2, -1))
        blobs = self.of.entries(before, chain, epoch)
        if not blobs:
            return [before + 1, blobs, str(log.te), log.ts, log.tc]
        try:
            last = parse_entry(blobs[-1])
        except ValueError:
            return [before + 1, blobs, str(epoch), before + len(blobs), 0]
        return [before + 1, blobs, str(last.epoch), before + len(blobs), last.chain]

    def _authority(self) -> list[Any]:
        """[pe, pf, he, h, rvk, ver, prev, pref]"""
        grant, pick = self.of.grant, self.of.pick
        pe = max(0, grant.pe + pick(0, 0, 1, 2, -1))
        he = max(0, min(pe, grant.he + pick(0, 0, 1, 2, -1)))
        if self.draw.random() < 0.02:
            he = pe + 1
        ver = self.group.version + pick(0, 0, 0, 1, -1)
        if self.draw.random() < 0.02:
            ver += 2
        prev, pref = self.of.about(grant.prev, 1), pack(["eu", self.draw.randrange(9)])
        pf = max(0, grant.pf + pick(0, 0, 1, -1))
        h = pick(self.of.holder(), self.of.holder(), self.of.sid(), "")
        return [str(pe), str(pf), str(he), h, pick(0, 0, 0, 1), max(0, ver), prev, pref]

    def _ending(self, log: list[Any]) -> list[Any]:
        """[from, entries, te, ts, tc, cm]"""
        first, blobs, te, ts, tc = log
        if self.draw.random() < 0.05:
            tc += 1
        committed = self.of.pick(self.of.log.cm, self.of.log.cm, ts, self.draw.randint(0, ts + 1))
        return [max(1, first), blobs, te, ts, tc, committed]

    def _finish_install(self) -> list[Any]:
        attempt = self._attempt()
        merged = len(self.group.merged.get(attempt, ()))
        known = self.group.shown_description if self.group.state != "learner" else b"next"
        told = known if known and self.draw.random() < 0.9 else b"another"
        return [attempt, merged if self.draw.random() < 0.9 else merged + 1, told]
