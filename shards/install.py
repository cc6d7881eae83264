"""From the decision to its use: what any node does that knows the description of the next version.

Theory of operation. The voters of the version before, v, are sealed: they take nothing more of v.
Of those that answered the seal, as many as decide in v are dumped, each after its seal and to the
end: whatever was promised or acknowledged in v is in at least one of them. The dumps are merged,
and every store of v+1 is given that merge and switched (shards/filling). A store that is open at
v+1 holds such a merge: its own state, read anew, takes the place of all dumps. So a voter that
comes late, when v is long gone, is brought along in the same way.

A version that was forced is made of less: of all that was left of v, each sealed and dumped. Then
no majority of v stands behind the merge, so it must be seen to be of one log (shards/agreement);
and every floor of epochs is raised beyond what the stores that are gone may have promised.

What each store is known to be:

    UNSEEN  --seal: OK--> SEALED
    UNSEEN  --seal: no member--> LEARNER of v, OUTSIDE
    UNSEEN  --seal: v is not there yet--> OUTSIDE (it missed more than one version)
    UNSEEN  --seal: v+1 is there already--> OPEN
    SEALED, LEARNER, OUTSIDE --merged and switched--> OPEN
    any --it answers otherwise than that--> UNSEEN

Nothing is ever taken back, each step may be done twice, and several processes may do all of it at
once. Sealing begins at once; reading a dump begins when *this* process has the answer to its seal.
Followers come last, and nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from regions.change import State
from regions.codec import Code, Reply, as_bytes
from regions.membership import (
    DESCRIPTION_AT,
    STATE_AT,
    VERSION_AT,
    Member,
    members,
    read_description,
)
from regions.store_calls import Calls
from shards.agreement import Agreement
from shards.filling import Filling, Stage
from shards.listing import Listing
from shards.merge import Record, merged, read_record

DUMP_BYTES = 64 * 1024


class Standing(Enum):
    """What a store is known to be."""

    UNSEEN = "unseen"
    SEALED = "sealed"
    LEARNER = "learner"
    OPEN = "open"
    OUTSIDE = "outside"


TO_BE_FILLED = (Standing.SEALED, Standing.LEARNER, Standing.OUTSIDE)


class Install:
    """One group, from v to v+1, at one process; implements shards.filling.Sources."""

    __slots__ = (
        "_agreement", "_asked", "_calls", "_draw", "_dumps", "_fillings", "_learns_as",
        "_next_attempt", "_next_ms", "_table", "_text", "_version", "broken", "new", "overtaken",
        "standing", "superseded",
    )  # fmt: skip

    def __init__(
        self, description: bytes, attempt: Callable[[], str], calls: Calls,
        draw: Callable[[], float],
    ) -> None:  # fmt: skip
        """`attempt` names attempts, each greater than the last."""
        self.new = read_description(description)
        self._text = description
        self._version = self.new.previous
        self._next_attempt = attempt
        self._calls = calls
        self._draw = draw
        self.standing: dict[Member, Standing] = dict.fromkeys(
            (*members(self.new.before), *members(self.new.incarnations)), Standing.UNSEEN
        )
        self._asked: set[Member] = set()
        self._dumps: dict[tuple[Member, Standing], Listing] = {}
        self._agreement: Agreement | None = None
        self._table: dict[str, Record] | None = None
        self._fillings: dict[Member, Filling] = {}
        self._learns_as: dict[Member, bytes] = {}  # the description that a learner was given
        self._next_ms: dict[Member, int] = {}
        self.broken = ""  # an invariant does not hold: this group must not be touched any more
        self.overtaken: bytes | None = None  # the description of a version after v+1
        self.superseded = False  # a voter of v is sealed for a version that was forced

    # -- how far it is

    @property
    def installed(self) -> list[Member]:
        """Voters of v+1 that are open at v+1."""
        return [m for m in members(self.new.voters) if self.standing[m] is Standing.OPEN]

    @property
    def in_use(self) -> bool:
        """Whether v+1 decides."""
        return len(self.installed) >= self.new.quorum

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: every store of v+1 is open there, or out of question."""
        return (
            bool(self.broken)
            or self.overtaken is not None
            or self.superseded
            or all(
                self.standing[m] is Standing.OPEN or m in self._calls.unfit
                for m in members(self.new.incarnations)
            )
        )

    @property
    def dumps_held(self) -> int:
        """Voters of v whose dump, taken after their seal, was read to its end."""
        return len(self._whole_dumps(Standing.SEALED))

    @property
    def why(self) -> str:
        """What it waits for, in words."""
        if self.is_over:
            return ""
        if self._table is None:
            unseen = [m.store for m in self.standing if self.standing[m] is Standing.UNSEEN]
            need = self.new.dumps_needed
            silent = f"; not answering: {', '.join(sorted(set(unseen)))}" if unseen else ""
            return f"{self.dumps_held} of {need} dumps of version {self._version}{silent}"
        return "; ".join(f.why for f in self._fillings.values() if f.why)

    @property
    def state(self) -> State:
        """How far it is."""
        if self.in_use:
            return State.IN_USE
        if self.installed:
            return State.INSTALLED
        if self._table is not None:
            return State.MERGED
        sealed = sum(self._is_sealed(m) for m in self.standing)
        return State.SEALED if sealed >= self.new.dumps_needed else State.DECIDED

    def advance(self, now_ms: int) -> None:
        """Ask for whatever can be asked now; early, late and repeated calls are fine."""
        if self.is_over:
            return
        self._seal(now_ms)
        self._dump(now_ms)
        self._fill(now_ms)

    def deadline_ms(self, now_ms: int) -> int | None:
        """When `advance` may have something to do, if no answer comes before."""
        times = [at_ms for at_ms in self._next_ms.values() if at_ms > now_ms]
        rested_ms = self._calls.rested_ms(now_ms)
        if rested_ms is not None:
            times.append(rested_ms)
        return min(times, default=None)

    # -- sealing

    def _seal(self, now_ms: int) -> None:
        """Seal those of v; the same question tells where the others are."""
        for member in self._concerned():
            if self.standing[member] is not Standing.UNSEEN or member in self._asked:
                continue
            if self._calls.ready(member, now_ms):
                self._asked.add(member)
                command = ["seal", self.new.group, self._version, self._text, self.new.version]
                self._calls.ask(member, [command], self._answered(member))

    def _concerned(self) -> list[Member]:
        """Voters of both versions; followers once v+1 decides, and nobody before it needs them."""
        concerned = dict.fromkeys((*members(self.new.before), *members(self.new.voters)))
        if self.in_use:
            return [*members(self.new.voters), *members(self.new.followers)]
        return list(concerned)

    def _answered(self, member: Member) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            self._asked.discard(member)
            if reply is not None:
                self._saw(member, reply.results[0], now_ms)

        return take

    def _saw(self, member: Member, result: list[Any], now_ms: int) -> None:
        """What a store is, from its answer to `seal`."""
        match str(result[0]):
            case Code.OK:
                self.standing[member] = Standing.SEALED
            case Code.NOT_MEMBER:
                self._outside(member, result)
            case Code.NEW_VERSION:  # it missed v, which is over: v+1 was decided by those of v
                self.standing[member] = Standing.OUTSIDE
            case Code.OLD_VERSION:
                self._went_on(member, result)
            case Code.STALE:  # somebody has forced a version beyond this one
                self.superseded = True
            case Code.CONFLICT:
                self.broken = f"{member.store} is sealed for another version {self.new.version}"
            case _:
                self._calls.rest(member, now_ms)

    def _outside(self, member: Member, result: list[Any]) -> None:
        """A store that is no member of v, but for what it learns."""
        learns = result[STATE_AT] == "learner" and result[VERSION_AT] == self.new.version - 1
        self.standing[member] = Standing.LEARNER if learns else Standing.OUTSIDE
        if learns and result[DESCRIPTION_AT]:
            self._learns_as[member] = as_bytes(result[DESCRIPTION_AT])

    def _went_on(self, member: Member, result: list[Any]) -> None:
        """A store is at v+1 or beyond."""
        shown = as_bytes(result[DESCRIPTION_AT]) if result[DESCRIPTION_AT] else None
        if result[VERSION_AT] > self.new.version or result[STATE_AT] == "sealed":
            self.overtaken = shown
        elif shown is not None and shown != self._text:
            self.broken = f"{member.store} is open at another version {self.new.version}"
        elif result[STATE_AT] == "open":
            self.standing[member] = Standing.OPEN

    def _is_sealed(self, member: Member) -> bool:
        """Whether a voter of v answered this process's seal."""
        return self.standing[member] is Standing.SEALED and member in members(self.new.before)

    # -- dumps

    def _dump(self, now_ms: int) -> None:
        """Read Q dumps of v, or the one of a store that is open at v+1."""
        if self._table is not None:
            return
        opened = [m for m in self.standing if self.standing[m] is Standing.OPEN]
        opened = [m for m in opened if self._calls.ready(m, now_ms)][:1]
        for member in opened or [m for m in self.standing if self._is_sealed(m)]:
            key = member, self.standing[member]
            if key not in self._dumps:
                self._dumps[key] = self._new_dump(*key)
            self._dumps[key].advance(now_ms)
        for key, dump in list(self._dumps.items()):
            if dump.refusal is not None:
                del self._dumps[key]
                self.doubt(key[0], now_ms)
        self._merge_dumps(now_ms)

    def _new_dump(self, member: Member, standing: Standing) -> Listing:
        sealed = standing is Standing.SEALED
        version = self._version if sealed else self.new.version
        head = ["dump", self.new.group, version]
        return Listing(self._calls, member, lambda after: [*head, after, DUMP_BYTES, int(sealed)])

    def _merge_dumps(self, now_ms: int) -> None:
        opened = self._whole_dumps(Standing.OPEN)
        sealed = self._whole_dumps(Standing.SEALED)
        if opened:
            chosen = opened[:1]
        elif len(sealed) >= self.new.dumps_needed and self._agree(sealed, now_ms):
            chosen = sealed
        else:
            return
        table: dict[str, Record] = {}
        for member, dump in chosen:
            sources = frozenset({member})
            for shard, fields in dump.records.items():
                record = read_record(fields, sources, self._version, self.new.floor)
                table[shard] = merged(table[shard], record) if shard in table else record
        self._table = table
        self._dumps = {}

    def _agree(self, sealed: list[tuple[Member, Listing]], now_ms: int) -> bool:
        """Whether these dumps can be merged: those of a majority always can."""
        if self.new.forced is None:
            return True
        if self._agreement is None:
            records = {member: dump.records for member, dump in sealed}
            self._agreement = Agreement(records, self.new.group, self._version, self._calls)
        agreement = self._agreement
        agreement.advance(now_ms)
        self.broken = agreement.broken
        if agreement.refused is not None:
            self._agreement = None
            del self._dumps[agreement.refused, Standing.SEALED]
            self.doubt(agreement.refused, now_ms)
            return False
        return agreement.complete and not agreement.broken

    def _whole_dumps(self, standing: Standing) -> list[tuple[Member, Listing]]:
        """Dumps read to the end, of stores that were known to be that when they were begun."""
        return [
            (m, dump) for (m, at), dump in self._dumps.items() if at is standing and dump.complete
        ]

    # -- filling

    def _fill(self, now_ms: int) -> None:
        """Bring every store of v+1 that is not there yet."""
        if self._table is None:
            return
        for member in self._concerned():
            if self.new.incarnations.get(member.store) != member.incarnation:
                continue
            if self.standing[member] not in TO_BE_FILLED:
                continue
            if now_ms >= self._next_ms.get(member, 0):
                self._fill_one(member, now_ms)
            if self._table is None:
                return

    def _fill_one(self, member: Member, now_ms: int) -> None:
        assert self._table is not None, "nothing to fill it with"
        filling = self._fillings.get(member)
        if filling is None:
            filling = self._fillings[member] = Filling(
                member, self.new, self._text, self._learns_as.get(member, self._text),
                self._next_attempt(), self._table, self._calls, self,
                enters=self.standing[member] is Standing.OUTSIDE,
                learns_at=self._learns_at(member),
            )  # fmt: skip
        filling.advance(now_ms)
        match filling.stage:
            case Stage.INSTALLED:
                self.standing[member] = Standing.OPEN
            case Stage.ASTRAY:
                self.standing[member] = Standing.UNSEEN
                self._leave(member, now_ms)
            case Stage.BROKEN:
                self.broken = filling.why
            case Stage.OUTDATED:
                self._table = None
                self._fillings.clear()
                return
            case Stage.OVERTAKEN:
                self._leave(member, now_ms)
            case _:
                return
        self._fillings.pop(member, None)

    def _learns_at(self, member: Member) -> int:
        """The version in which a store is copied to: a sealed one stays what it is."""
        sealed = self.standing[member] is Standing.SEALED
        return self._version if sealed else self.new.version - 1

    def _leave(self, member: Member, now_ms: int) -> None:
        """Others may be at it: let them, for a while."""
        ttl_ms = self.new.ttl_ms
        self._next_ms[member] = now_ms + ttl_ms // 2 + int(self._draw() * ttl_ms)

    def with_log(self, target: Member, record: Record, now_ms: int) -> tuple[Member, int] | None:
        """A store that has a record's log, or that has gone on from it; and its version."""
        able = [
            m for m in self.standing
            if m.store != target.store and self._calls.ready(m, now_ms)
        ]  # fmt: skip
        for member in able:
            if self.standing[member] is Standing.SEALED and member in record.sources:
                return member, self._version
        for member in able:
            if self.standing[member] is Standing.OPEN:
                return member, self.new.version
        return None

    def are_gone(self, record: Record) -> bool:
        """Whether every store that had a record's log when it was dumped is out of question."""
        return all(member in self._calls.unfit for member in record.sources)

    def doubt(self, source: Member, now_ms: int) -> None:
        """A store refused what it should have answered: ask it again what it is."""
        self.standing[source] = Standing.UNSEEN
        self._calls.rest(source, now_ms)
