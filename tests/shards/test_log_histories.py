"""A leader's log against stores of the twin: whatever is lost on the way, it counts what is true.

A machine of random steps: the leader writes and sends, stores answer in the order of each
connection, connections break with calls and answers under way.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from regions.codec import as_bytes
from regions.quorum import quorum_of
from shards.entry import Entry
from shards.log import Log, Stream
from tests.rules.one_store import GROUP, VERSION, OneStore, chain_of

STORES = 3
SHARD, SID, EPOCH = "a", "p/1", 3
DECLINED = "OOM"
stores = st.integers(0, STORES - 1)


class Connection:
    """Calls on their way to one store, and answers on their way back."""

    def __init__(self) -> None:
        self.calls: deque[tuple[list[Any], int]] = deque()
        self.answers: deque[tuple[list[Any], int]] = deque()


class LogHistory(RuleBasedStateMachine):
    """One epoch of one leader, three voters."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = [OneStore(f"s{number}") for number in range(STORES)]
        for store in self.stores:
            store.register(SID)
            assert store.prepare(SHARD, 1, SID) == "OK"
        # Leaders before left entries that are on no majority: one of them the other overwrote.
        recovered = chain_of(2, "x", "y")
        assert self.stores[0].append(SHARD, 1, SID, None, chain_of(1, "z"))[0] == "OK"
        assert self.stores[1].append(SHARD, 2, SID, None, recovered)[0] == "OK"
        for store in self.stores:
            assert store.prepare(SHARD, EPOCH, SID, "mine") == "OK"
        self.log = Log(SHARD, EPOCH, SID, STORES, STORES, Entry(0, 0, 0, b""), 0)
        self.log.extend(recovered)
        self.written = [*recovered, self.log.open_epoch([])]
        self.connections = [Connection() for _ in range(STORES)]
        self.commit = 0

    # -- steps

    @rule(size=st.integers(0, 40))
    def write(self, size: int) -> None:
        key = f"k{len(self.written)}"
        self.written.append(
            self.log.write([["p", "", key, bytes(size), self.log.last.sequence + 1]])
        )

    @rule(store=stores, bytes_max=st.sampled_from([1, 100, 1 << 20]), vouch=st.booleans())
    def send(self, store: int, bytes_max: int, vouch: bool) -> None:
        found = self.log.next_append(store, GROUP, VERSION, bytes_max, vouch)
        if found is not None:
            self.connections[store].calls.append(found)

    @rule(store=stores, bytes_max=st.sampled_from([1, 1 << 20]))
    def send_and_arrive(self, store: int, bytes_max: int) -> None:
        self.send(store, bytes_max, vouch=True)
        self.arrive(store)

    @rule(store=stores)
    def arrive(self, store: int) -> None:
        connection = self.connections[store]
        if connection.calls:
            command, number = connection.calls.popleft()
            result = self.stores[store].do(command[0], *command[3:], process="p")
            connection.answers.append((result, number))

    @rule(store=stores)
    def answer(self, store: int) -> None:
        connection = self.connections[store]
        if connection.answers:
            (code, *payload), number = connection.answers.popleft()
            if code == "OK":
                self.log.appended(store, number, payload)
            elif code == "GAP":
                self.log.gap(store, number, payload[1:])
            else:
                assert code == DECLINED
                self.log.lost(store)

    @rule(store=stores)
    def lose(self, store: int) -> None:
        """The connection breaks: what has not arrived never does, nor do the answers."""
        self.connections[store] = Connection()
        self.log.lost(store)

    @rule(store=stores)
    def decline(self, store: int) -> None:
        """A call is refused as a whole by the store: those behind it still arrive."""
        connection = self.connections[store]
        if connection.calls:
            _, number = connection.calls.popleft()
            connection.answers.append(([DECLINED], number))

    @rule()
    def forget(self) -> None:
        self.log.forget()

    # -- what always holds

    @invariant()
    def committed_is_on_a_majority_and_never_less(self) -> None:
        assert self.log.commit >= self.commit
        self.commit = self.log.commit
        assert self.commit == 0 or self.commit >= self.log.opening
        holding = sum(self.same(store) >= self.commit for store in range(STORES))
        assert holding >= quorum_of(STORES)

    @invariant()
    def nothing_is_counted_that_a_store_lacks_and_stores_know_of_no_more_commits_than_there_are(
        self,
    ) -> None:
        for store in range(STORES):
            assert self.log.followers[store].covered <= self.same(store)
            assert self.known_committed(store) <= self.log.commit

    def stored(self, store: int) -> list[bytes]:
        """The entries of a store, from the first."""
        shard = self.stores[store].twin.state.groups[GROUP].shards.get(SHARD)
        return [as_bytes(shard.log[at]) for at in sorted(shard.log)] if shard else []

    def same(self, store: int) -> int:
        """How many entries of a store, from the first, are those of the log."""
        pairs = zip(self.stored(store), self.written, strict=False)
        return len(list(takewhile(lambda pair: pair[0] == pair[1].blob, pairs)))

    def known_committed(self, store: int) -> int:
        """The commit index of a store."""
        shard = self.stores[store].twin.state.groups[GROUP].shards.get(SHARD)
        return int(shard.cm) if shard else 0

    # -- and in the end

    def teardown(self) -> None:
        """With nothing lost any more, all that is written comes to every store but BEHIND ones."""
        for _ in range(len(self.written) + 8):
            for store in range(STORES):
                while self.connections[store].calls or self.connections[store].answers:
                    self.arrive(store)
                    self.answer(store)
                self.send(store, 1 << 20, vouch=True)
        assert self.log.commit == len(self.written)
        for store, follower in enumerate(self.log.followers):
            assert follower.stream in (Stream.FLOWING, Stream.BEHIND)
            if follower.stream is Stream.FLOWING:
                assert self.stored(store) == [entry.blob for entry in self.written]


TestLogHistory = LogHistory.TestCase
TestLogHistory.settings = settings(max_examples=60, stateful_step_count=50)
