"""One leadership over twin stores, played from text: steps, a line of dashes, what they show.

    stand
    deliver 1 2
    ----
    asked: 1 prepare 1, 2 prepare 1, 3 prepare 1
    1 OK, 2 OK: recovering at 1, held 1 2

Blocks are separated by empty lines; lines that begin with # are comments. The stage is the desk of
the leadership: it keeps what is asked of each store until a step delivers or loses it.

    renew [STORE ...]         the session is renewed there now (everywhere, at first)
    stand [STORE ...]         stand on what stores show of their grants (at those, else at all)
    deliver [STORE ...]       carry out the oldest question of each store, and bring the answer
    execute STORE             carry out, and keep the answer on its way
    answer STORE              bring the answer that was kept
    lose STORE                the lane breaks: whatever is unanswered there is unknown
    send [STORE ...]          compose appends (for those stores)
    settle                    send and deliver until nothing is left to do
    fetch                     answer what is asked over the bulk lane
    fetch lost                ... or lose it
    write KEY [BYTES]         an entry that sets a key
    rival EPOCH STORE         the holder is released there, and another session promised that epoch
    trim STORE SEQUENCE       entries up to there are trimmed away
    expire                    the time for answers is up
    end WHY                   end it
    again                     another leadership of the same process
    run MS                    time passes
    show                      the leadership, its log, and what each store holds
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from regions.codec import FORMAT
from regions.lease_times import LeaseTimes
from regions.quorum import bits
from regions.session import Session
from regions.watch import Watch
from shards.election import Condition, condition_at
from shards.entry import Entry
from shards.grant import Sighted
from shards.leadership import Leadership, Reply
from shards.scripts.model import new_store

GROUP, SHARD, SEPARATOR = "g", "a", "----"
TTL_MS = 1_000
ROUNDS_MAX = 50


def play(text: str) -> str:
    """Run a scenario; returns its text with the trace that each block really gave."""
    stage = Stage()
    blocks = []
    for block in text.strip().split("\n\n"):
        steps = block.split(f"\n{SEPARATOR}")[0]
        for line in steps.splitlines():
            if not line.startswith("#"):
                stage.do(*line.split())
        shown, stage.trace = stage.trace, []
        blocks.append("\n".join([steps, SEPARATOR, *shown] if shown else [steps]))
    return "\n\n".join(blocks) + "\n"


class Stage:
    """Three stores, one session, one leadership; implements shards.leadership.Desk."""

    group = GROUP
    version = 1
    voters = 3
    stores = 3

    def __init__(self) -> None:
        self.now_ms = 0
        self.trace: list[str] = []
        self.twins = [new_store(f"s{n}") for n in (1, 2, 3)]
        self.times = LeaseTimes(TTL_MS)
        self.session = Session("p/1", GROUP, 1, 3, 3, self.times)
        self.watch = Watch(3, self.times)
        self.sighted = Sighted(SHARD, 3, 3)
        self.leadership = Leadership(self.sighted, self, self.session)
        self._asked: list[deque[tuple[list[Any], Reply]]] = [deque() for _ in range(3)]
        self._kept: list[deque[tuple[list[Any], Reply]]] = [deque() for _ in range(3)]
        self._fetches: deque[tuple[int, list[Any], Reply]] = deque()
        for store in range(3):
            self._do(store, "install", b"a group")
            for sid in ("p/1", "x/1"):
                self._do(store, "register", sid, "n", "eu", "url")
            self.session.registered(store, "OK")

    def do(self, name: str, *words: str) -> None:
        """One step; fails for one that there is not."""
        act: Callable[..., None] = getattr(self, f"do_{name}")
        act(*words)

    def _do(self, store: int, operation: str, *arguments: Any) -> list[Any]:
        twin = self.twins[store]
        header = [FORMAT, twin.state.incarnation, "", 0]
        return list(twin.call(header, [[operation, GROUP, 1, *arguments]]).results[0])

    def say(self, line: str) -> None:
        """Add to the trace."""
        self.trace.append(line)

    # -- the desk

    def ask(self, store: int, command: list[Any], reply: Reply) -> None:
        """Keep a question until it is delivered."""
        self.say(f"asked {store + 1}: {in_words(command)}")
        self._asked[store].append((command, reply))

    def fetch(self, store: int, command: list[Any], reply: Reply) -> None:
        """Keep a question over the bulk lane."""
        self.say(f"fetch of {store + 1}: {command[0]} from {command[4]}")
        self._fetches.append((store, command, reply))

    def saw(self, shard: str, store: int, fields: list[Any], now_ms: int) -> None:
        """A store showed its grant."""
        self.sighted.saw(store, fields, now_ms)

    def is_child(self, shard: str) -> bool:
        """No shard here began with a resharding."""
        return False

    def dirty(self, leadership: Leadership) -> None:
        """There is something to append: `send` looks by itself."""

    def lazily(self, leadership: Leadership, now_ms: int) -> None:
        """The same, with less hurry."""

    def moved(self, leadership: Leadership, now_ms: int) -> None:
        """State or commit index changed."""
        log = leadership.log
        at = "" if log is None or log.epoch != leadership.epoch else f", committed {log.commit}"
        self.say(f"{leadership.state.value} at {leadership.epoch}{at}")

    def ended(self, leadership: Leadership, why: str, release: int, now_ms: int) -> None:
        """It is over."""
        epochs = " and ".join(str(epoch) for epoch, _ in leadership.tenures)
        self.say(f"ended, {why}: release {epochs} at {_stores(release)}")

    def opening(self, leadership: Leadership, tail: Entry, log_kept: bool) -> list[list[Any]]:
        """The entry that opens the epoch."""
        self.say(f"opens after {tail.sequence} of epoch {tail.epoch}{', own log' * log_kept}")
        return []

    # -- steps

    def do_renew(self, *stores: str) -> None:
        for store in _numbers(stores):
            operation, _, _, *arguments = self.session.renew(store, 0, [])
            self.session.renewed(store, self.now_ms, self._do(store, operation, *arguments))

    def do_stand(self, *stores: str) -> None:
        conditions: dict[int, Condition] = {}
        for store in _numbers(stores):
            self._look(store)
            found = condition_at(self.sighted, store, self.session, self.watch, self.now_ms)
            if found is not None:
                conditions[store] = found
        self.leadership.stand(self.session, conditions, "free", self.now_ms)

    def _look(self, store: int) -> None:
        grant = self.twins[store].state.groups[GROUP].grants.get(SHARD)
        if grant is not None:
            self.sighted.saw(store, grant.shown(1), self.now_ms)

    def do_deliver(self, *stores: str) -> None:
        for store in _numbers(stores):
            if self._asked[store]:
                self._execute(store)
                self._answer(store)

    def do_execute(self, store: str) -> None:
        self._execute(int(store) - 1)

    def do_answer(self, store: str) -> None:
        self._answer(int(store) - 1)

    def _execute(self, store: int) -> None:
        command, reply = self._asked[store].popleft()
        twin = self.twins[store]
        (result,) = twin.call([FORMAT, twin.state.incarnation, "", 0], [command]).results
        self._kept[store].append((list(result), reply))

    def _answer(self, store: int) -> None:
        result, reply = self._kept[store].popleft()
        self.say(f"{store + 1} answers {result[0]}")
        reply(result, self.now_ms)

    def do_lose(self, name: str) -> None:
        store = int(name) - 1
        unanswered = [*self._kept[store], *self._asked[store]]
        self._kept[store].clear()
        self._asked[store].clear()
        for _, reply in unanswered:
            reply(None, self.now_ms)
        self.leadership.lane_lost(store)

    def do_send(self, *stores: str) -> None:
        for store in _numbers(stores):
            while (found := self.leadership.next_append(store, 1 << 20, self.now_ms)) is not None:
                self.ask(store, *found)

    def do_settle(self) -> None:
        for _ in range(ROUNDS_MAX):
            self.do_send()
            if not any(self._asked):
                return
            self.do_deliver()
        raise AssertionError("it goes round in circles")

    def do_fetch(self, *how: str) -> None:
        store, command, reply = self._fetches.popleft()
        twin = self.twins[store]
        (result,) = twin.call([FORMAT, twin.state.incarnation, "", 0], [command]).results
        reply(None if how else list(result), self.now_ms)

    def do_write(self, key: str, size: str = "1") -> None:
        log = self.leadership.log
        assert log is not None, "only a leadership that has a log can write"
        log.write([["p", "", key, bytes(int(size)), log.last.sequence + 1]])

    def do_rival(self, epoch: str, name: str) -> None:
        store = int(name) - 1
        grant = self.twins[store].state.groups[GROUP].grants.get(SHARD)
        if grant is not None:
            self._do(store, "release", SHARD, str(grant.he), grant.h)
        code = self._do(store, "prepare", SHARD, epoch, "x/1", ["free"])[0]
        assert code == "OK", f"the rival was refused: {code}"

    def do_trim(self, name: str, upto: str) -> None:
        session, epoch = self.leadership.session.sid, str(self.leadership.epoch)
        result = self._do(int(name) - 1, "trim", SHARD, epoch, session, int(upto))
        assert result[0] == "OK", f"the trim was refused: {result[0]}"

    def do_end(self, why: str) -> None:
        self.leadership.end(why, self.now_ms)

    def do_again(self) -> None:
        self.leadership = Leadership(self.sighted, self, self.session)

    def do_run(self, ms: str) -> None:
        self.now_ms += int(ms)

    def do_expire(self) -> None:
        self.leadership.check_standing(self.now_ms, self.now_ms)

    def do_show(self) -> None:
        made = self.leadership
        until = made.until_ms()
        lease = "no lease" if until is None else f"lease until {until}"
        serves = "serves" if made.serves(self.now_ms) else "does not serve"
        self.say(
            f"{made.state.value} at {made.epoch}, held {_stores(made.held)}, {lease}, {serves}"
        )
        if made.log is not None:
            log = made.log
            streams = " ".join(f.stream.value for f in log.followers)
            self.say(
                f"log {log.floor.sequence}..{log.last.sequence}, committed {log.commit}; {streams}"
            )
        for number, twin in enumerate(self.twins, 1):
            grant = twin.state.groups[GROUP].grants.get(SHARD)
            shard = twin.state.groups[GROUP].shards.get(SHARD)
            held = (
                "nothing" if grant is None else f"{grant.he} of {grant.h or 'nobody'}, {grant.st}"
            )
            tail = (
                "no log"
                if shard is None
                else f"tail {shard.ts} of {shard.te}, committed {shard.cm}"
            )
            fresh = ", fresh" if grant is not None and grant.sync else ""
            self.say(f"store {number}: {held}; {tail}{fresh}")


def in_words(command: list[Any]) -> str:
    """What is asked, short."""
    match command:
        case ["prepare", _, _, _, epoch, _, condition]:
            return f"prepare {epoch} if {condition[0]}"
        case ["append", _, _, _, epoch, _, seq, _, _, blobs, commit, sync]:
            mark = ", mark" if sync else ""
            return f"append {epoch} after {seq}, {len(blobs)} entries, committed {commit}{mark}"
    return str(command[0])


def _stores(mask: int) -> str:
    return " ".join(str(store + 1) for store in bits(mask)) or "none"


def _numbers(names: tuple[str, ...]) -> list[int]:
    return [int(name) - 1 for name in names or ("1", "2", "3")]
