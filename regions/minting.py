"""Empty stores that are to belong to a group: each mints its own incarnation, and is read back.

An incarnation is never sent to a store: a call that is late would make an empty store one that was.
Several may mint one store at once; the first has done it, and the others find what it made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from regions.codec import Code, Reply
from regions.membership import Member
from regions.store_calls import Calls


class Minting:
    """`incarnations` of the stores that have one, those of `known` from the beginning."""

    __slots__ = ("_calls", "_nonce", "_old", "_say", "incarnations")

    def __init__(
        self, old: Mapping[str, str], known: Mapping[str, str], nonce: str, calls: Calls,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`old` incarnations are those that count as gone, should a store still have one; `say` is
        told what is waited for."""
        self._old = old
        self._nonce = nonce
        self._calls = calls
        self._say = say
        self.incarnations: dict[str, str] = dict(known)

    def mint(self, store: str, now_ms: int) -> None:
        """Ask for one, if nothing is being asked of it."""
        nobody = Member(store, "")
        if self._calls.idle(nobody, now_ms):
            self._say(f"{store} has not been minted")
            self._calls.ask(nobody, [["mint", "", 0, store, self._nonce]], self._minted(store))

    def _minted(self, store: str) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            if reply is None:
                return
            if reply.results[0][0] == Code.EXISTS:  # by another process, or it never forgot
                self._calls.ask(Member(store, ""), [["hello", "", 0]], self._met(store))
            else:
                self._met(store)(reply, now_ms)

        return take

    def _met(self, store: str) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            if reply is None or reply.results[0][0] != Code.OK:
                return
            found = Member(reply.store_id, reply.incarnation)
            if found.store != store:
                self._say(f"what answers for {store} is {found.store}")
            elif self._old.get(store) == found.incarnation:
                self._say(f"{store} has not forgotten its incarnation")
            elif found in self._calls.unfit:
                self._say(f"{store}: {self._calls.unfit[found]}")
            else:
                self.incarnations[store] = found.incarnation
                return
            self._calls.rest(Member(store, ""), now_ms)

        return take
