"""The twin of the function library: a store in memory that answers as a real one does.

It exists twice over, here and in Lua, and the conformance suite holds both equal, reply by reply
and key by key. The simulator runs on this one. It knows no clock and draws no lots: the time and
the run id of a store are its caller's.

A call is refused whole, by its header, or each of its commands is executed by itself: it validates
everything, then writes, or is refused and writes nothing. `Call.write` is asked before each change
and raises opseq once for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from regions.codec import EPOCH_BOUND, FORMAT, Code, Reply, pack_reply, unpack
from regions.scripts.arguments import BadArgument, Check, check_all
from regions.scripts.state import Grant, Group, StoreState

Clock: TypeAlias = Callable[[], tuple[int, int]]
"""Seconds and microseconds, as TIME answers them. Only the minting of an incarnation asks."""

_NOBODY = Group()


@dataclass(frozen=True, slots=True)
class Command:
    """What a command asks of its arguments, of its group, and what it does.

    `run` gets the call, the group and the arguments after their checks. It returns the code and
    the payload.
    """

    run: Callable[[Call, Group, list[Any]], list[Any]]
    arguments: tuple[Check, ...]
    needs_group: bool = True
    works_sealed: bool = False
    of_learner: bool = False  # works in a learner of that version
    of_next: bool = False  # makes the next version of a group that is sealed or a learner
    switches: bool = False  # ... and may come again when that version is in use
    may_only_read: bool = False


class Call:
    """One call while it is executed."""

    __slots__ = ("began_at", "only_reads", "state", "store", "wrote")

    def __init__(self, store: StoreModel, only_reads: bool) -> None:
        self.store = store
        self.state = store.state
        self.only_reads = only_reads
        self.began_at = store.state.opseq
        self.wrote = False

    def write(self) -> int:
        """Say that a change follows; returns the opseq to which all changes of the call belong."""
        if not self.wrote:
            assert not self.only_reads, "a command that only reads has tried to write"
            self.wrote = True
            self.state.opseq += 1
        return self.state.opseq

    def change(self, record: Any, **fields: Any) -> bool:
        """Set fields of a record, if any of them differs; says whether one did."""
        changed = False
        for name, value in fields.items():
            if getattr(record, name) != value:
                self.write()
                setattr(record, name, value)
                changed = True
        return changed

    def change_grant(self, group: Group, shard: str, grant: Grant, **fields: Any) -> None:
        """Set fields of a grant; a new grant is kept with its first change."""
        if self.change(grant, **fields):
            group.grants[shard] = grant

    def list_change(self, group: Group, name: str) -> None:
        """Move a shard ("s/...") or a death ("d/...") to the end of the index of changes."""
        opseq = self.write()
        group.changes.pop(name, None)
        group.changes[name] = opseq

    def bury(self, group: Group, sid: str) -> None:
        """Make a living session dead, for good."""
        self.write()
        group.sessions[sid].dead = True
        group.live.discard(sid)
        self.list_change(group, f"d/{sid}")


class StoreModel:
    """One store. `state` is what it would find on its disk after a crash."""

    def __init__(
        self, commands: Mapping[str, Command], run_id: str, clock: Clock = lambda: (0, 0)
    ) -> None:
        self.state = StoreState()
        self.run_id = run_id
        self.clock = clock
        self._commands = commands

    def restart(self, run_id: str) -> None:
        """Go on with the same data as another process."""
        self.run_id = run_id

    def copy(self) -> StoreState:
        """A copy of all that survives a restart, for `restore`."""
        return self.state.copy()

    def restore(self, state: StoreState) -> None:
        """Forget the present and remember `state` instead, as a restored disk does."""
        self.state = state.copy()

    def call(
        self, header: list[Any], commands: list[list[Any]], *, only_reads: bool = False
    ) -> Reply:
        """Execute one call on values as they are; what comes back must not be changed."""
        call = Call(self, only_reads)
        refusal = self._guard(call, header, commands)
        if refusal is not None:
            return self._reply(refusal, [])
        return self._reply(Code.OK, [self._execute(call, command) for command in commands])

    def call_bytes(self, arguments: list[bytes], *, only_reads: bool = False) -> bytes:
        """Execute one call as it travels; the first argument is the header."""
        try:
            header, *commands = [unpack(argument) for argument in arguments]
        except ValueError:
            return pack_reply(self._reply(Code.BAD_FORMAT, []))
        return pack_reply(self.call(header, commands, only_reads=only_reads))

    def _reply(self, code: Code, results: list[list[Any]]) -> Reply:
        state = self.state
        return Reply(code, state.store_id, state.incarnation, self.run_id, state.opseq, results)

    def _guard(self, call: Call, header: Any, commands: list[Any]) -> Code | None:
        """Why the whole call is refused, None if it is not. Remembers a greater generation."""
        if type(header) is not list or len(header) != 4:
            return Code.BAD_FORMAT
        known, incarnation, process, generation = header
        if type(known) is not int or known != FORMAT:
            return Code.BAD_FORMAT
        if type(incarnation) is not str or type(process) is not str:
            return Code.BAD_FORMAT
        if type(generation) is not int or not 0 <= generation < EPOCH_BOUND:
            return Code.BAD_FORMAT
        state = self.state
        alone = _operation(commands[0]) if len(commands) == 1 and not incarnation else None
        if not state.incarnation:
            return None if alone == "mint" else Code.EMPTY
        if alone in {"hello", "mint"}:
            return None
        if incarnation != state.incarnation:
            return Code.WRONG_INCARNATION
        if process:
            greatest = state.generations.get(process, -1)
            if generation < greatest:
                return Code.OLD_GENERATION
            if generation > greatest and not call.only_reads:
                call.write()
                state.generations[process] = generation
        return None

    def _execute(self, call: Call, words: Any) -> list[Any]:
        command = self._commands.get(_operation(words) or "")
        if command is None or not _names_group(words):
            return [Code.BAD_COMMAND, 0, "absent", False]
        name, version = words[1], words[2]
        group = self.state.groups.get(name, _NOBODY)
        code = _refused_by_group(command, group, version)
        if code is not None:
            shown = code is not Code.UNDECIDED and group.shown_description
            return [code, group.version, group.state, shown]
        if call.only_reads and not command.may_only_read:
            return [Code.BAD_COMMAND, group.version, group.state, False]
        try:
            arguments = check_all(command.arguments, words[3:])
            if not command.needs_group:
                arguments = [name, version, *arguments]
            code, *payload = command.run(call, group, arguments)
        except BadArgument:
            return [Code.BAD_COMMAND, group.version, group.state, False]
        group = self.state.groups.get(name, _NOBODY)
        return [code, group.version, group.state, False, *payload]


def _operation(words: Any) -> str | None:
    if type(words) is list and words and type(words[0]) is str:
        return words[0]
    return None


def _names_group(words: list[Any]) -> bool:
    """A colon would let the keys of one group be taken for those of another."""
    if len(words) < 3 or type(words[1]) is not str or ":" in words[1]:
        return False
    return type(words[2]) is int and 0 <= words[2] < EPOCH_BOUND


def _refused_by_group(command: Command, group: Group, version: int) -> Code | None:
    if not command.needs_group:
        return None
    if group.state == "absent":
        return Code.NOT_MEMBER
    if command.of_next:
        return _refused_as_next(command, group, version)
    if group.state == "learner" and not command.of_learner:
        return Code.NOT_MEMBER
    if group.state == "sealed" and not command.works_sealed:
        return Code.SEALED
    if version < group.version:
        return Code.OLD_VERSION
    if version > group.version:
        return Code.NEW_VERSION
    return None


def _refused_as_next(command: Command, group: Group, version: int) -> Code | None:
    """The same for what makes the next version."""
    if version > group.next_version:
        return Code.NEW_VERSION
    if version == group.next_version:
        return Code.UNDECIDED if group.state == "open" else None
    if version == group.version and group.state == "open" and command.switches:
        return None
    return Code.OLD_VERSION
