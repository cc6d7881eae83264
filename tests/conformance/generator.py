"""Random calls that collide: few shards, few sessions, stale epochs, broken arguments.

The twin's present state is looked at, so that most commands nearly fit: the epoch is the next one,
or the last; a log is continued where it ends, or one entry off. Equal seeds give equal calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from regions.codec import pack
from regions.scripts.state import Grant, Group, StoreState, process_of
from shards.entry import write_entry
from shards.scripts.entries import parse_entry
from shards.scripts.snapshots import kv_record
from shards.scripts.state import Shard
from tests.conformance.generator_of_drafts import DRAFTED, DraftCalls
from tests.conformance.generator_of_membership import MembershipCalls
from tests.conformance.targets import RIGHT

GROUP = "region/eu"
GROUPS = (GROUP, GROUP, GROUP, GROUP, "global", "multi/a+b")
SHARDS = ("s1", "s2", "s\u00fc\udcff3")
SIDS = ("p1/1", "p1/2", "p1/3", "p2/1", "p2/2", "p2/3", "p/3/1", "p/4/1", "p5/1")
KEYS = ("a", "b", "ab", "a\0b", "\u00e9", "\udcfe", "z" * 40)
PARTITIONS = ("p", "q", "p\u00fc")
WIDE_KEYS = tuple(f"k{number}" for number in range(900))
OP_IDS = ("", "", "op1", "op2", "op 3", "op\n4")
WRONG = (None, -1, 1.5, 2**53, "", "x", "07", "1e3", True, [], [1], {"a": 1}, b"\xff\xfe")


@dataclass(frozen=True)
class RandomCall:
    """One call; `wipe` comes before it."""

    header: Any
    commands: list[Any]
    only_reads: bool = False
    wipe: bool = False


class Generator:
    """Calls that fit, more or less, what the twin holds at the moment of asking."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        # Some seeds write so much that lists do not fit one piece or page of the scripts.
        self.wide = seed % 8 == 3
        self.keys = WIDE_KEYS if self.wide else KEYS
        self.membership = MembershipCalls(self, self.draw)
        self.drafts = DraftCalls(self, self.draw, often=seed % 4 == 1)
        self.commands = {
            "hello": (1, self._nothing),
            "mint": (1, self._mint),
            "install": (2, self._install),
            "admit": (2, lambda: [self.pick("run-1", "run-2")]),
            "register": (4, lambda: [self.sid(), self.pick("n1", "n\u00fc"), "eu", "http://n"]),
            "renew": (8, self._renew),
            "bury": (1, self._bury),
            "observe": (5, lambda: [self.about(self.state.opseq, 9), self.draw.randint(1, 5)]),
            "place": (2, self._place),
            "prepare": (12, self._prepare),
            "append": (30, self._append),
            "release": (4, lambda: [self.shard(), self.epoch(), self.holder()]),
            "handover": (3, lambda: [self.shard(), self.epoch(), self.holder(), self.sid()]),
            "revoke": (4, lambda: [self.shard(), self.holder(), self.held(), "op", "why"]),
            "read": (5, self._read),
            "scan": (5, self._scan),
            "range": (3, lambda: [self.shard(), self.about(self.log.cm, 3), self.room()]),
            "history": (1, lambda: [self.shard()]),
            "trim": (4, self._trim),
            "page": (5, self._page),
            "digest": (5, self._digest),
            "stage": (5, self._stage),
            "unstage": (2, lambda: [self.shard(), self.epoch(), self.holder(), self._attempt()]),
            "adopt": (5, self._adopt),
            **self.membership.commands,
            **self.drafts.commands,
        }
        self.state = StoreState()
        self.group = Group()
        self.log = Shard()
        self.grant = Grant()
        self.chosen = SHARDS[0]

    def next(self, state: StoreState) -> RandomCall:
        """The next call, for a store in this state."""
        self.state = state
        draw = self.draw
        if not state.incarnation or draw.random() < 0.003:
            return self._beginning()
        commands = [self._command() for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 5)))]
        only_reads = draw.random() < 0.06
        if draw.random() < 0.03:
            return RandomCall(self._broken_header(), commands, only_reads)
        process = self.pick("p1", "p2", "")
        known = state.generations.get(process, 0)
        generation = known if draw.random() < 0.9 else max(0, known + draw.randint(-1, 1))
        return RandomCall([1, RIGHT, process, generation], commands, only_reads)

    def pick(self, *choices: Any) -> Any:
        return self.draw.choice(choices)

    def _beginning(self) -> RandomCall:
        header = [1, "", "", 0]
        if self.draw.random() < 0.2:
            return RandomCall(header, [["hello", "", 0]], wipe=self.draw.random() < 0.5)
        if self.draw.random() < 0.1:
            return RandomCall(header, [["observe", GROUP, 1, 0, 9]])
        return RandomCall(header, [["mint", "", 0, "store-1", self.pick("n1", "n1", "n2")]])

    def _broken_header(self) -> Any:
        return self.pick(
            [1, "another", "p1", 5],
            [2, RIGHT, "p1", 5],
            [1, RIGHT, "p1"],
            [1, RIGHT, "p1", -1],
            [1, RIGHT, 7, 1],
            [1, "", "p1", 5],
            [True, RIGHT, "p1", 5],
            ["1", RIGHT, "p1", 5],
            "header",
            None,
        )

    def _command(self) -> Any:
        draw = self.draw
        name = self.pick(*GROUPS)
        self.group = self.state.groups.get(name, Group())
        weights = [weight for weight, _ in self.commands.values()]
        op = (
            self.membership.wanted()
            or self.drafts.wanted()
            or draw.choices(list(self.commands), weights)[0]
        )
        self.shard()
        arguments = self.commands[op][1]()
        if op in {"hello", "mint"}:
            return [op, "", 0, *arguments]
        version = self.membership.version(op)
        if draw.random() < 0.03:
            version = max(0, version + draw.randint(-1, 1))
        words = [op, name, version, *arguments]
        if draw.random() < 0.03:
            words = self._spoiled(words)
        return words

    def _spoiled(self, words: list[Any]) -> Any:
        draw = self.draw
        words = list(words)
        match draw.randrange(6):
            case 0:
                words.append(7)
            case 1:
                words.pop()
            case 2:
                words[0] = "nonsense"
            case 3:
                return self.pick("text", 7, False, [], [5, GROUP, 1])
            case 4:
                words[1] = self.pick("", "region/eu:ss", 5, "unknown")
            case _:
                at = draw.randrange(1, len(words))
                # A nil at the end cannot be seen by a script.
                wrong = WRONG[1:] if at == len(words) - 1 else WRONG
                words[at] = draw.choice(wrong)
        return words

    # -- arguments

    def shard(self) -> str:
        if self.draw.random() < 0.04:
            return self.choose(self.pick(*DRAFTED))
        return self.choose(self.pick(*SHARDS, SHARDS[0]))

    def choose(self, shard: str) -> str:
        self.chosen = shard
        self.log = self.group.shards.get(self.chosen, Shard())
        self.grant = self.group.grants.get(self.chosen, Grant())
        return self.chosen

    def sid(self) -> str:
        return self.pick(*SIDS)

    def holder(self) -> str:
        return self.grant.h if self.grant.h and self.draw.random() < 0.92 else self.sid()

    def held(self) -> str:
        return str(self.grant.he or 1) if self.draw.random() < 0.9 else self.epoch()

    def epoch(self) -> str:
        return str(max(1, self.grant.pe + self.pick(0, 0, 0, 0, 1, -1)))

    def _attempt(self) -> int:
        return max(1, self.log.sn + self.pick(0, 0, 0, 0, 0, 0, 1, -1))

    def about(self, number: int, width: int) -> int:
        return max(0, number + self.draw.randint(-width, width))

    def room(self) -> int:
        return self.pick(0, 1, 60, 200, 5_000, 100_000)

    def _nothing(self) -> list[Any]:
        return []

    def _mint(self) -> list[Any]:
        return ["store-1", self.pick("n1", "n2")]

    def _install(self) -> list[Any]:
        return [self.pick(b"description", b"description", b"other")]

    def _renew(self) -> list[Any]:
        sid = self.sid()
        session = self.group.sessions.get(sid)
        counter = (session.counter if session else 0) + self.pick(1, 1, 1, 2, 0, -1)
        revision = session.revision if session else 0
        if self.draw.random() < 0.15:
            revision += 1
        unsync = [self.pick(*SHARDS) for _ in range(self.draw.choice((0, 0, 1, 2)))]
        return [sid, max(0, counter), revision, self.about(self.state.opseq, 5), unsync]

    def _bury(self) -> list[Any]:
        sid = self.sid()
        session = self.group.sessions.get(sid)
        counter = session.counter if session else 0
        return [sid, counter if self.draw.random() < 0.3 else counter + 1]

    def _place(self) -> list[Any]:
        return [self.chosen, self.about(self.grant.prev, 1), pack(["eu", self.draw.randrange(9)])]

    def _prepare(self) -> list[Any]:
        epoch = max(self.grant.pe, self.grant.pf) + self.pick(1, 1, 1, 1, 1, 2, 0)
        holder = self.group.sessions.get(self.grant.h)
        counter = (holder.counter if holder else 0) + self.pick(0, 0, 0, 1)
        condition = self.pick(
            ["free"],
            ["mine"],
            ["handover"],
            ["dead", self.holder(), self.held(), counter],
            ["revoked", self.holder(), self.held()],
            ["carry", self.holder(), self.held()],
            ["waited"],
            *(self._fitting(), self._fitting(), self._fitting()),
            self.pick(["carry", "x"], [], ["free", 1], ["dead", "x"], [["free"]]),
        )
        target = self.grant.tgt
        sid = target if target and self.draw.random() < 0.5 else self.sid()
        if condition[:1] == ["carry"]:
            of = process_of(self.grant.h)
            sid = self.pick(*(each for each in SIDS if process_of(each) == of), sid)
        return [self.chosen, str(max(1, epoch)), sid, condition]

    def _fitting(self) -> list[Any]:
        match self.grant.state_in(self.group.version):
            case "free":
                return ["free"]
            case "inherited":
                return self.pick(
                    ["carry", self.grant.h or "x", str(self.grant.he or 1)], ["waited"]
                )
        return ["mine"]

    def _append(self) -> list[Any]:
        log, draw = self.log, self.draw
        epoch = self.grant.pe + self.pick(0, 0, 0, 0, 0, 0, 0, 1, -1)
        if self.grant.st != "held" and draw.random() < 0.7:
            epoch = self.grant.pe + 1
        sequence = log.ts
        if draw.random() < 0.35:
            sequence = draw.randint(max(0, log.bs - 1), log.ts + 1)
        prev_epoch, prev_chain = self.position(sequence)
        if draw.random() < 0.05:
            prev_chain += 1
        entries = self.entries(sequence, prev_chain, max(1, epoch))
        last = sequence + len(entries)
        committed = self.pick(last, last, log.cm, log.ts, draw.randint(0, last + 1))
        return [
            self.chosen,
            str(max(1, epoch)),
            self.holder(),
            sequence,
            str(prev_epoch),
            prev_chain,
            entries,
            committed,
            self.pick(0, 1),
        ]

    def position(self, sequence: int) -> tuple[int, int]:
        log = self.log
        if sequence in log.log:
            entry = parse_entry(log.log[sequence])
            return entry.epoch, entry.chain
        return (log.be, log.bc) if sequence == log.bs else (log.te, log.tc)

    def entries(self, sequence: int, chain: int, epoch: int) -> list[bytes | str]:
        """New entries; those already there may be sent again, some of them or all."""
        found: list[bytes | str] = []
        again = self.draw.random() < 0.6
        most = (0, 1, 1, 2, 3, 6)
        for _ in range(self.draw.choice((1, 5, 40, 90) if self.wide else most)):
            sequence += 1
            stored = self.log.log.get(sequence)
            if again and stored is not None:
                found.append(stored)
                chain = parse_entry(stored).chain
                continue
            entry = write_entry(
                sequence - 1,
                chain,
                max(1, epoch - self.pick(0, 0, 0, 0, 1)),
                self._effects(),
                self._op_id(),
                "digest",
                self.pick(False, b"\xff", [1, "x", []], 7),
            )
            chain = entry.chain
            found.append(entry.blob)
        if found and self.draw.random() < 0.02:
            found[-1] = self.draw.choice(self._broken_entries())
        return found

    def _op_id(self) -> str:
        return f"op{self.draw.randrange(900)}" if self.wide else self.pick(*OP_IDS)

    def _effects(self) -> list[list[Any]]:
        most = (1, 5, 5, 12) if self.wide else (0, 1, 1, 2, 4)
        return [self._effect() for _ in range(self.draw.choice(most))]

    def _effect(self) -> list[Any]:
        ending = self.drafts.effect()
        if ending is not None:
            return ending
        key = self.pick(*self.keys)
        partition = PARTITIONS[len(key) % 3]
        if self.draw.random() < 0.03:
            partition = self.pick(*PARTITIONS)
        return self.pick(
            ["p", partition, key, b"v" * self.draw.choice((0, 1, 9, 40, 300)), self.log.ts + 1],
            ["p", partition, key, b"\xfe\0w", self.draw.randrange(99)],
            ["d", partition, key],
            ["h", str(self.draw.randint(1, 70)), self.pick(b"\xffx", ["who", 3])],
            ["x", self.about(self.log.ap, 4)] if self.draw.random() < 0.3 else ["d", "p", key],
        )

    def _broken_entries(self) -> list[Any]:
        return [
            b"",
            b"\xc1",
            pack(7),
            pack(["1", "", "", 0, False]),
            pack(["0", "", "", 0, False, []]),
            pack(["1", "", "", 0, None, []]),
            pack(["1", "", "", -1, False, []]),
            pack(["1", "", "", 0, False, [["q", 1]]]),
            pack(["1", "", "", 0, False, [["p", "a\0b", "k", b"v", 1]]]),
            pack(["1", "", "", 0, False, [["x", 1, 2]]]),
            pack(["1", "", "", 0, False, [["h", "0", b""]]]),
            pack(["1", "", "", 0, False, []]) + b"\x01",
            *(pack(["1", "", "", 0, False, [of]]) for of in self.drafts.broken_effects()),
        ]

    def _reader(self) -> list[Any]:
        if self.draw.random() < 0.5:
            return ["", 0]
        return [str(self.log.te or 1), self.about(self.log.cm, 2)]

    def _read(self) -> list[Any]:
        keys = [self.pick(*self.keys) for _ in range(self.draw.randrange(4))]
        op_ids = [self.pick(*OP_IDS) for _ in range(self.draw.randrange(3))]
        return [self.chosen, *self._reader(), keys, op_ids]

    def _scan(self) -> list[Any]:
        prefix = self.pick("", "", "a", "\u00e9", "zz", "b")
        after = self.pick("", "", "a", "ab", "b", "zzz", "\u00e9")
        partition = self.pick(*PARTITIONS)
        limit = self.pick(1, 2, 3, 4, 500)
        return [self.chosen, *self._reader(), partition, prefix, after, limit, self.room()]

    def _trim(self) -> list[Any]:
        return [self.chosen, self.epoch(), self.holder(), self.about(self.log.cm, 3)]

    def _digest(self) -> list[Any]:
        _, part, after, room = self._page()
        applied = self.log.ap if self.draw.random() < 0.9 else self.about(self.log.ap, 2)
        return [self.chosen, applied, part, after, room]

    def _page(self) -> list[Any]:
        part = self.pick("kv", "id", "hi")
        name = PARTITIONS[1] + "\0" + "a"
        after = {"kv": ("", "", name), "id": ("", "", "4 x", "x"), "hi": ("", "7", "x")}[part]
        return [self.chosen, part, self.pick(*after), self.room()]

    def _stage(self) -> list[Any]:
        part, records = self.page_of_records()
        return [self.chosen, self.epoch(), self.holder(), self._attempt(), part, records]

    def page_of_records(self) -> tuple[str, list[Any]]:
        part = self.pick("kv", "id", "hi")
        records = [self._record(part) for _ in range(self.draw.choice((0, 1, 2, 5, 80)))]
        if self.draw.random() < 0.06:
            wrong = self.pick(
                [["a", b"\xc1"]],
                [["p\0k", b"x v"]],
                [["p\0k", b"1"]],
                ["a"],
                [["a\0b", pack(7)]],
                [["0", pack(1)]],
            )
            records = [*records, *wrong]
        return part, records

    def _record(self, part: str) -> list[Any]:
        key = self.pick(*self.keys)
        sequence = self.draw.randint(1, 300 if self.wide else 30)
        if part == "kv":
            value = b"\xffs" * self.draw.randrange(5)
            return [f"{PARTITIONS[len(key) % 3]}\0{key}", kv_record((sequence, value))]
        if part == "id":
            return [f"{sequence} {self._op_id() or 'op9'}", pack([sequence, "d", 1])]
        return [str(sequence), pack("line")]

    def _adopt(self) -> list[Any]:
        base = self.base_to_adopt()
        return [self.chosen, self.epoch(), self.holder(), self._attempt(), *base]

    def base_to_adopt(self) -> list[Any]:
        """[be, bs, bc, upto]"""
        base = self.log.ap + self.pick(0, 1, 1, 2, 3)
        epoch, chain = self.position(base)
        if self.draw.random() < 0.2:
            chain += 1
        upto = base + self.pick(0, 0, 1, 2)
        return [str(epoch), base, chain, upto]
