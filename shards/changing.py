"""One change of one group's store set at one process: from the wish, or from the decision, to use.

Theory of operation. Two machines, one after the other. The first decides (regions/change), with
learners being taught meanwhile (shards/learning); it may be left before anything is proposed. The
second finishes what was decided (shards/install), by whomever; it needs nothing but the description
and is never left. Whoever meets a sealed store begins there. A wish that finds stores late for the
version it would change finishes that one as well.

What an operator forces (regions/forcing) takes the place of the first one.

The process that runs it hands in what it may not know itself: a desk that carries calls to stores,
chance, and a number that this process has used for no other change. It calls `advance` when
`deadline_ms` has come. After each answer that is done here.
"""

from __future__ import annotations

from collections.abc import Callable

from regions.change import Change, State, Wish
from regions.forcing import Act, Forcing
from regions.membership import Member, read_description
from regions.store_calls import Calls, Desk
from shards.install import Install
from shards.learning import Learning


class Changing:
    """One group, one change. Made by `wanted`, `decided` or `forced`."""

    __slots__ = (
        "_attempts", "_before", "_draw", "_number", "_old", "calls", "change", "forcing", "install",
    )  # fmt: skip

    def __init__(self, desk: Desk, number: tuple[int, str], draw: Callable[[], float]) -> None:
        self._number = number
        self._attempts = number[0]
        self._draw = draw
        self.calls = Calls(desk, self.advance)
        self.change: Change | None = None
        self.forcing: Forcing | None = None
        self._old = b""  # the version that is to be changed
        self._before: Install | None = None  # of that version
        self.install: Install | None = None

    @classmethod
    def wanted(
        cls, old: bytes, wish: Wish, desk: Desk, number: tuple[int, str],
        draw: Callable[[], float],
    ) -> Changing:  # fmt: skip
        """Begin with a wish for the version after `old`, a description as a store shows it. Raises
        ValueError when it is none."""
        found = cls(desk, number, draw)
        found._old = old

        def learner(member: Member) -> Learning:
            return Learning(old, member, found.attempt, found.calls, change.saw, draw)

        change = Change(read_description(old), wish, number, found.calls, learner, draw)
        found.change = change
        return found

    @classmethod
    def decided(
        cls, description: bytes, desk: Desk, number: tuple[int, str], draw: Callable[[], float]
    ) -> Changing:
        """Begin with the description of a version that was decided, as a store showed it. Raises
        ValueError when it is none."""
        found = cls(desk, number, draw)
        found.install = found._install(description)
        return found

    @classmethod
    def forced(
        cls, old: bytes, act: Act, desk: Desk, number: tuple[int, str], draw: Callable[[], float]
    ) -> Changing:
        """Begin with what an operator wants of `old`, a description as a store shows it. Raises
        ValueError when it is none."""
        found = cls(desk, number, draw)
        nonce = f"{number[1]}/{number[0]}"
        found.forcing = Forcing(read_description(old), act, nonce, found.calls, draw)
        return found

    def _install(self, description: bytes) -> Install:
        return Install(description, self.attempt, self.calls, self._draw)

    def _finish_before(self, change: Change, now_ms: int) -> None:
        """Stores that are late for this version are brought to it: it may need them to decide."""
        has_before = change.old.before or change.old.forced
        if change.late and self._before is None and has_before:
            self._before = self._install(self._old)
        if self._before is not None:
            self._before.advance(now_ms)

    @property
    def state(self) -> State:
        """How far it is."""
        if self.install is not None:
            return self.install.state
        if self.forcing is not None and self.forcing.refused:
            return State.GIVEN_UP
        return State.WANTED if self.change is None else self.change.state

    def attempt(self, above: str = "") -> str:
        """A name for what is done to one store, greater than all that this change used before and
        than the one of another, `above`; used by no other: what a store has merged is counted
        under it."""
        seen = int(above.partition("/")[0]) if above else 0
        self._attempts = max(self._attempts, seen) + 1
        number, process = self._number
        return f"{self._attempts}/{process}/{number}"

    @property
    def why(self) -> str:
        """What it waits for."""
        if self.broken:
            return self.broken
        if self.install is not None:
            return self.install.why
        if self.forcing is not None:
            return self.forcing.refused or self.forcing.why
        return self.change.why if self.change is not None else ""

    @property
    def broken(self) -> str:
        """Which invariant does not hold; "" for none. The group must not be touched any more."""
        found = [each.broken for each in (self._before, self.install) if each is not None]
        return next(filter(None, found), "")

    @property
    def is_over(self) -> bool:
        """Whether it has nothing to do any more."""
        if self.broken or self.state is State.GIVEN_UP:
            return True
        return self.install is not None and self.install.is_over

    def give_up(self) -> bool:
        """Leave it, if nothing was proposed yet; says whether it was left."""
        return self.install is None and self.change is not None and self.change.give_up()

    def advance(self, now_ms: int) -> None:
        """Do what there is to do now."""
        if self.is_over:
            return
        if self.install is None and self.forcing is not None:
            self.forcing.advance(now_ms)
            if self.forcing.description is not None:
                self.install = self._install(self.forcing.description)
        if self.install is None and self.change is not None:
            self.change.advance(now_ms)
            self._finish_before(self.change, now_ms)
            if self.change.description is not None:
                self.install = self._install(self.change.description)
        if self.install is not None:
            self.install.advance(now_ms)

    def deadline_ms(self, now_ms: int) -> int | None:
        """When `advance` may have something to do, if no answer comes before."""
        if self.install is not None:
            return self.install.deadline_ms(now_ms)
        if self.forcing is not None:
            return self.forcing.deadline_ms(now_ms)
        return self.change.deadline_ms(now_ms) if self.change is not None else None
