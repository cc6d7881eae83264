"""What a node counts of its own health, for the gates of rollouts at the global leader.

Theory of operation. What clients' requests came to is counted as they are answered, in a few
additions: requests that this node answered itself, those that it could not do, and how long they
took, in buckets of powers of two. Requests that it sent elsewhere count there; what nodes ask of
the system shard, and of each other to see whether they serve, is no client's. Elections that it won
because a node had fallen silent count for the region of that node, and entries that stores lack for
the region of the store: it is there that something is wrong.

A sample is taken with every report of load and told along with it (controlplane/node/load_reports).
While a rollout goes on, a message of its own tells one every `HURRIED_MS`. The first time that a
leader is told, and again every `REPEAT_MS`, all samples are: so it knows how it was before it led.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from config.gate_history import SAMPLES_MAX, Histories, History
from config.gate_samples import BUCKETS, REGIONS_MAX, Sample, read_sample
from controlplane.machine import Tell
from controlplane.node.following import SYSTEM
from controlplane.requests import Outcome, Problem, Read, Refused, Request
from shards.key_in_slot import is_for_slot
from shards.leadership import State

if TYPE_CHECKING:
    from controlplane.node.node import Node

HURRIED_MS: Final = 1_000
REPEAT_MS: Final = 60_000
LAG_EVERY_MS: Final = 5_000
TIME_BITS: Final = 64
FAILOVERS: Final = ("dead", "waited")
"""Why an election was won, when the leader before was not asked to go."""
ERRORS: Final = frozenset(
    {
        Problem.NO_LEADER, Problem.NO_QUORUM, Problem.OVERLOADED, Problem.STORE_FULL,
        Problem.UNKNOWN_OUTCOME,
    }
)  # fmt: skip
"""What a client cannot help: it asked for something that could be done, and it was not."""
ELSEWHERE: Final = (Problem.NOT_LEADER, Problem.STALE)
"""Another node answers it."""


class Health:
    """The counters of one node, and its samples of them."""

    __slots__ = (
        "_errors", "_failovers", "_history", "_lagged_ms", "_lags", "_latency", "_listener",
        "_next_ms", "_node", "_repeat_ms",
    )  # fmt: skip

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._errors = 0
        self._latency = [0] * TIME_BITS
        self._failovers: dict[str, int] = {}
        self._lags: dict[str, int] = {}
        self._lagged_ms = now_ms
        self._history = History(node.plan.region)
        self._history.add(Sample(now_ms, node.plan.process))
        self._listener: tuple[str, int] = ("", 0)
        self._repeat_ms = 0
        self._next_ms = now_ms

    # -- counting

    def answered(self, request: Request, outcome: Outcome, began_ms: int) -> None:
        """A request of somebody outside is answered."""
        if request.shard == SYSTEM:
            return
        if type(outcome) is Refused:
            if outcome.problem in ELSEWHERE:
                return
            if outcome.problem in ERRORS:
                self._errors += 1
        elif type(request) is Read and is_for_slot(next(iter(request.keys), "")):
            return
        self._latency[(self._node.now_ms - began_ms).bit_length()] += 1

    def elected(self, why: str, before: str) -> None:
        """This node leads a shard; `before` is the session that did."""
        if why not in FAILOVERS:
            return
        region = self._node.census.region_of(before)
        if region in self._failovers or len(self._failovers) < REGIONS_MAX:
            self._failovers[region] = self._failovers.get(region, 0) + 1

    @property
    def lags(self) -> Mapping[str, int]:
        """By region, how many entries a store lacked of a shard led here, as of the last look."""
        return self._lags

    # -- telling

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do; None while no rollout goes on."""
        return self._next_ms if self._node.rollouts.is_any_on else None

    def advance(self, now_ms: int) -> None:
        """Tell a sample, while a rollout goes on."""
        if not self._node.rollouts.is_any_on or now_ms < self._next_ms:
            return
        self._next_ms = now_ms + HURRIED_MS
        self.look(now_ms)
        leader = self._node.census.global_leader()
        if leader is None:
            return
        message = {
            "kind": "health", "region": self._node.plan.region,
            "health": self.told((leader.node, leader.epoch), now_ms),
        }  # fmt: skip
        if leader.node == self._node.plan.node:
            self.heard(leader.node, message, now_ms)
        else:
            self._node.out.append(Tell(leader.node, message))

    def look(self, now_ms: int) -> None:
        """Take a sample."""
        if now_ms - self._lagged_ms >= LAG_EVERY_MS:
            self._lagged_ms = now_ms
            self._lags = self._measured_lags()
        latency = [*self._latency[: BUCKETS - 1], sum(self._latency[BUCKETS - 1 :])]
        while latency and not latency[-1]:
            latency.pop()
        self._history.add(
            Sample(
                now_ms,
                self._node.plan.process,
                sum(latency),
                self._errors,
                self._node.fenced_writes.count,
                dict(self._failovers),
                self._lags,
                tuple(latency),
            )
        )

    def told(self, listener: tuple[str, int], now_ms: int) -> list[Any]:
        """What a leader is told: whether it is all there is, and samples, the oldest first."""
        samples = self._history.samples
        all_of_it = listener != self._listener or now_ms >= self._repeat_ms
        if all_of_it:
            self._listener, self._repeat_ms = listener, now_ms + REPEAT_MS
        return [all_of_it, [each.row(now_ms) for each in samples[0 if all_of_it else -1 :]]]

    def _measured_lags(self) -> dict[str, int]:
        """By region, how many entries a store in reach lacks of a shard that is led here, at worst;
        what was told to it of what is committed counts as much as what it has."""
        found: dict[str, int] = {}
        for group in self._node.groups.values():
            plans = (*group.plan.voters, *group.plan.followers)
            up = [i for i in range(group.stores) if group.lanes[i].is_up]
            for led in group.led.values():
                log = led.log
                if log is None or led.state is not State.LEADING:
                    continue
                for store in up:
                    follower, region = log.followers[store], plans[store].region
                    if follower.rests:
                        continue
                    lag = log.commit - max(follower.covered, follower.committed)
                    if lag > found.get(region, -1):
                        found[region] = max(0, lag)
        return found

    # -- at the global leader

    def heard(self, sender: str, message: dict[str, Any], now_ms: int) -> None:
        """A node tells samples; what has not their shape is ignored."""
        gathered = self._node.reports.gathering(now_ms)
        if gathered is not None:
            take_health(gathered.health, sender, message, now_ms)


def take_health(histories: Histories, sender: str, message: dict[str, Any], now_ms: int) -> None:
    """Keep what a message says of its sender's health; one of an older release says nothing."""
    match message:
        case {"region": str() as region, "health": [bool() as all_of_it, list() as rows]}:
            told = [read_sample(row, now_ms) for row in rows[-SAMPLES_MAX:]]
            samples = [sample for sample in told if sample is not None]
            histories.take(sender, region, samples, all_of_it=all_of_it)
