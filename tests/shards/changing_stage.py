"""Changes of one group's store set over twin stores, played from text, as in leadership_stage.

    want c1 s1 s2 s3 forgot s2
    settle
    ----
    c1 s2: mint -> OK
    ...

The stage is the desk of every process: it keeps what is asked of a store until a step delivers it.

    want PROCESS VOTER ... [forgot STORE ...]   a process wants a change of the version it sees
    finish PROCESS            a process goes on from what a sealed store, or one beyond it, shows
    crash PROCESS             it is no more; what it sent is lost
    give-up PROCESS           it leaves its change, if it may
    deliver [STORE ...]       carry out what waits now (there), and bring the answers
    settle [STORE ...]        deliver, with time passing, until nothing is asked (there) any more
    until PROCESS OPERATION   deliver, with time passing, until that is what it asks for
    lose STORE                what waits there is lost
    execute STORE             what waits there is carried out, and the answers are lost
    forget STORE              its memory goes
    away STORE ...            it answers nothing; `back STORE ...` again
    write SHARD STORE ...     a leader writes on from what the first has, and all of them have it
    hold SHARD STORE          one store has a longer log of an epoch below, which nobody else knows
    trim SHARD STORE ...      all that is committed there is trimmed away
    run MS                    time passes
    quietly                   tell nothing of what is asked from now on; `loudly` again
    show                      what the stores hold, and how far the processes are
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from regions.change import Wish
from regions.codec import FORMAT, Code, Reply, as_bytes
from regions.membership import GroupDescription, Member, read_description, write_description
from regions.scripts.model import StoreModel
from regions.scripts.state import Grant, Group
from regions.store_calls import Take
from shards.changing import Changing
from shards.entry import read_entry, write_entry
from shards.scripts.model import empty_store
from shards.scripts.state import Shard

GROUP, SEPARATOR = "g", "----"
TTL_MS = 1_000
STEP_MS = 50
ROUNDS_MAX = 400


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


@dataclass
class Asked:
    """One call that waits."""

    process: str
    member: Member
    commands: list[list[Any]]
    take: Take


class Stage:
    """Three stores that vote in version 1, two empty ones, and processes as they are wanted."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.trace: list[str] = []
        self.is_loud = True
        self.absent: set[str] = set()
        self.waiting: list[Asked] = []
        self.stores: dict[str, StoreModel] = {}
        self.incarnations: dict[str, list[str]] = {}  # of each store, in the order minted
        self.changings: dict[str, Changing] = {}
        self._minted = 0
        self._numbers = 0
        for name in ("s1", "s2", "s3", "s4", "s5"):
            self._empty(name)
        voters = {name: self._mint(name) for name in ("s1", "s2", "s3")}
        first = write_description(GroupDescription(GROUP, 1, TTL_MS, voters, {}))
        for name in voters:
            self._call(name, ["install", GROUP, 1, first])

    def _empty(self, name: str) -> None:
        def clock() -> tuple[int, int]:
            self._minted += 1
            return 1, self._minted

        self.stores[name] = empty_store("run-1", clock)
        self.incarnations.setdefault(name, [])

    def _mint(self, name: str) -> str:
        self.stores[name].call([FORMAT, "", "", 0], [["mint", "", 0, name, "first"]])
        return self.stores[name].state.incarnation

    def _call(self, name: str, command: list[Any]) -> list[Any]:
        store = self.stores[name]
        reply = store.call([FORMAT, store.state.incarnation, "", 0], [command])
        assert reply.code == Code.OK
        return reply.results[0]

    def do(self, step: str, *words: str) -> None:
        """One line of a scenario."""
        steps: dict[str, Callable[..., None]] = {
            "want": self._want, "finish": self._finish, "crash": self._crash,
            "give-up": self._give_up, "deliver": self._deliver, "settle": self._settle,
            "until": self._until, "lose": self._lose, "execute": self._execute,
            "forget": self._empty, "away": self._away, "back": self._back,
            "write": self._write, "hold": self._hold, "trim": self._trim, "run": self._run,
            "quietly": self._quietly, "loudly": self._loudly, "show": self._show,
        }  # fmt: skip
        steps[step](*words)

    # -- processes

    def _want(self, process: str, *words: str) -> None:
        at = words.index("forgot") if "forgot" in words else len(words)
        wish = Wish(words[:at], forgot=frozenset(words[at + 1 :]))
        made = Changing.wanted(self._newest(), wish, *self._resources(process))
        self._begin(process, made)

    def _finish(self, process: str) -> None:
        self._begin(process, Changing.decided(self._newest(), *self._resources(process)))

    def _resources(self, process: str) -> tuple[Desk, tuple[int, str], Callable[[], float]]:
        self._numbers += 1
        return Desk(self, process), (self._numbers, process), lambda: 0.5

    def _begin(self, process: str, changing: Changing) -> None:
        self.changings[process] = changing
        changing.advance(self.now_ms)

    def _newest(self) -> bytes:
        """The latest description that any store shows."""
        groups = [store.state.groups[GROUP] for store in self.stores.values() if store.state.groups]
        shown = [as_bytes(g.shown_description) for g in groups if g.state in ("open", "sealed")]  # type: ignore[arg-type]
        return max(shown, key=lambda text: read_description(text).version)

    def _crash(self, process: str) -> None:
        del self.changings[process]
        self.waiting = [asked for asked in self.waiting if asked.process != process]

    def _give_up(self, process: str) -> None:
        left = self.changings[process].give_up()
        self.trace.append(f"{process} {'leaves it' if left else 'may not leave it'}")

    # -- calls

    def _deliver(self, *names: str) -> None:
        for asked in self._taken(names):
            self._told(asked, self._carried_out(asked))

    def _settle(self, *names: str) -> None:
        for _ in range(ROUNDS_MAX):
            waits = any(self._concerns(asked, names) for asked in self.waiting)
            if not waits and self._wait_ms() > TTL_MS:
                return
            self._deliver(*names)
            self._run(STEP_MS)

    def _until(self, process: str, operation: str) -> None:
        for _ in range(ROUNDS_MAX):
            if any(a.process == process and a.commands[0][0] == operation for a in self.waiting):
                return
            self._deliver()
            self._run(STEP_MS)
        raise AssertionError(f"{process} never asks for {operation}")

    def _wait_ms(self) -> int:
        """How long until somebody asks again, of itself."""
        if any(c.install is None for c in self.changings.values()):
            return 0
        times = [c.deadline_ms(self.now_ms) for c in self.changings.values()]
        return min((t - self.now_ms for t in times if t is not None), default=TTL_MS + 1)

    def _taken(self, names: tuple[str, ...]) -> list[Asked]:
        taken = [asked for asked in self.waiting if self._concerns(asked, names)]
        self.waiting = [asked for asked in self.waiting if not self._concerns(asked, names)]
        return taken

    def _concerns(self, asked: Asked, names: tuple[str, ...]) -> bool:
        return not names or asked.member.store in names

    def _carried_out(self, asked: Asked) -> Reply | None:
        if asked.member.store in self.absent:
            return None
        store = self.stores[asked.member.store]
        return store.call([FORMAT, asked.member.incarnation, "", 0], asked.commands)

    def _told(self, asked: Asked, reply: Reply | None) -> None:
        if self.is_loud:
            codes = [f"{r[0]}" for r in reply.results] if reply is not None else ["lost"]
            if reply is not None and reply.code != Code.OK:
                codes = [str(reply.code)]
            for command, code in zip(asked.commands, codes, strict=False):
                told = f"{asked.process} {asked.member.store}: {self._words(command)} -> {code}"
                if not self.trace or self.trace[-1] != told:
                    self.trace.append(told)
        asked.take(reply, self.now_ms)

    def _words(self, command: list[Any]) -> str:
        """A command as people read it."""
        operation = command[0]
        if operation in ("ballot", "accept"):
            wanted = (
                f" {', '.join(read_description(command[5]).voters)}" if len(command) > 5 else ""
            )
            return f"{operation} {command[3]}/{command[4]}{wanted}"
        if operation == "dump":
            return "dump sealed" if command[-1] else "dump"
        if operation in ("merge", "merge_tail", "range", "page"):
            return f"{operation} {command[3]}"
        if operation.startswith("learn_"):
            return f"{operation} {command[3]}"
        return str(operation)

    def _lose(self, name: str) -> None:
        for asked in self._taken((name,)):
            self._told(asked, None)

    def _execute(self, name: str) -> None:
        for asked in self._taken((name,)):
            self._carried_out(asked)
            self._told(asked, None)

    # -- what else happens

    def _run(self, ms: str | int) -> None:
        self.now_ms += int(ms)
        for changing in list(self.changings.values()):
            changing.advance(self.now_ms)

    def _away(self, *names: str) -> None:
        self.absent.update(names)

    def _back(self, *names: str) -> None:
        self.absent.difference_update(names)

    def _quietly(self) -> None:
        self.is_loud = False

    def _loudly(self) -> None:
        self.is_loud = True

    def _log(self, name: str, shard: str) -> Shard:
        group = self.stores[name].state.groups.get(GROUP) or Group()
        found: Shard = group.shards.get(shard) or Shard()
        return found

    def _write(self, shard: str, *names: str) -> None:
        """By the leader of a new epoch, which has the log of the first store, and commits there."""
        groups = [self.stores[name].state.groups[GROUP] for name in names]
        promised = [g.grants[shard].pe for g in groups if shard in g.grants]
        epoch = max(promised, default=0) + 1
        self._append(shard, epoch, names, 1)

    def _hold(self, shard: str, name: str) -> None:
        epoch = self._log(name, shard).te
        self._append(shard, epoch, (name,), 5)

    def _append(self, shard: str, epoch: int, names: tuple[str, ...], count: int) -> None:
        log = self._log(names[0], shard)
        have = [read_entry(seq, log.log[seq]) for seq in sorted(log.log)]
        seq, chain = log.ts, log.tc
        for _ in range(count):
            entry = write_entry(seq, chain, epoch, [["p", "", f"k{seq}", b"v", seq + 1]])
            have.append(entry)
            seq, chain = entry.sequence, entry.chain
        sid = f"l{epoch}/1"
        for name in names:
            version = self.stores[name].state.groups[GROUP].version
            self._call(name, ["register", GROUP, version, sid, "n", "r", "u"])
            base = self._log(name, shard).cm
            blobs = [e.blob for e in have if e.sequence > base]
            committed = seq if count == 1 else base
            command = ["append", GROUP, version, shard, str(epoch), sid, base, "0", 0, blobs]
            result = self._call(name, [*command, committed, 0])
            assert result[0] == Code.OK, result

    def _trim(self, shard: str, *names: str) -> None:
        for name in names:
            grant = self.stores[name].state.groups[GROUP].grants[shard]
            version = self.stores[name].state.groups[GROUP].version
            tenure = (shard, str(grant.he), grant.h, 10_000)
            assert self._call(name, ["trim", GROUP, version, *tenure])[0] == Code.OK

    def _show(self) -> None:
        for name, store in self.stores.items():
            group = store.state.groups.get(GROUP)
            if group is not None:
                shown = [self._shard(name, shard) for shard in group.shard_names()]
                self.trace.append(f"{name} is {group.state} at {group.version}: {'; '.join(shown)}")
        for process, changing in self.changings.items():
            why = f" ({changing.why})" if changing.why else ""
            self.trace.append(f"{process} is at {changing.state.value}{why}")

    def _shard(self, name: str, shard: str) -> str:
        group = self.stores[name].state.groups[GROUP]
        log, grant = self._log(name, shard), group.grants.get(shard, Grant())
        trimmed = f" from {log.bs + 1}" if log.bs else ""
        return (
            f"{shard} promised {grant.pe}, log {log.te}:{log.ts}{trimmed}, "
            f"committed {log.cm}, {grant.state_in(group.version)}"
        )


class Desk:
    """The desk of one process."""

    def __init__(self, stage: Stage, process: str) -> None:
        self._stage = stage
        self._process = process

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        self._stage.waiting.append(Asked(self._process, member, commands, take))
