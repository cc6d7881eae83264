"""The leader's desk against a model that forgets nothing: every decision is the same.

A machine of random steps: writes are decided at the tail, at once or after a look at committed
state that may be answered much later; entries are committed in order; the desk drops what it may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from shards import admission
from shards.admission import (
    COMPARE_FAILED,
    PRESENT,
    WRITTEN,
    Admission,
    Admit,
    Change,
    Decision,
    Found,
    Lookup,
    Proposal,
    Refuse,
    Replay,
    compare_failed,
)

CURRENT = -2  # in a proposal still to be made: the version that the key has at the tail
keys = st.sampled_from(["a", "b"])
op_ids = st.sampled_from(["", "", "o1", "o2"])
versions = st.sampled_from([CURRENT, CURRENT, PRESENT, 0, 1, 2])
digests = st.sampled_from(["d1", "d2"])
values = st.none() | st.just(b"v")
proposals = st.builds(
    lambda key, value, compares, op_id, digest: Proposal(
        (Change("p", key, value),), tuple(compares), op_id, digest
    ),
    keys,
    values,
    st.lists(st.tuples(keys, versions), max_size=2),
    op_ids,
    digests,
)


@dataclass(frozen=True)
class State:
    """A shard's keys and ids after one entry."""

    versions: dict[str, int]
    ids: dict[str, tuple[int, str, list[Any]]]


@dataclass(frozen=True)
class Looking:
    """A proposal whose read was sent when so much was committed."""

    number: int
    proposal: Proposal
    lookup: Lookup
    since: int


class AdmissionHistory(RuleBasedStateMachine):
    """`states[n]` is what holds after entry n; entries up to `commit` are committed."""

    looking = Bundle("looking")

    def __init__(self) -> None:
        super().__init__()
        self.desk = Admission()
        self.states = [State({}, {})]
        self.commit = 0
        self.numbers = 0
        self.changed: dict[str, int] = {}  # by the latest entry that touched a key

    @property
    def tail(self) -> State:
        """What holds when everything written so far is applied."""
        return self.states[-1]

    @rule(target=looking, proposal=proposals)
    def propose(self, proposal: Proposal) -> Any:
        compares = tuple(
            (key, self.tail.versions.get(key, 0) if version == CURRENT else version)
            for key, version in proposal.compares
        )
        proposal = replace(proposal, compares=compares)
        decision = self.desk.decide(proposal, len(self.states))
        if not isinstance(decision, Lookup):
            self.check(proposal, decision)
            return multiple()
        self.numbers += 1
        self.desk.read_began(self.numbers, self.commit)
        return Looking(self.numbers, proposal, decision, self.commit)

    @rule(one=consumes(looking), seen=st.sampled_from([0.0, 0.5, 1.0]))
    def look(self, one: Any, seen: float) -> None:
        """The read is answered, from some moment between then and now."""
        state = self.states[one.since + round(seen * (self.commit - one.since))]
        found = Found(
            {key: state.versions.get(key, 0) for key in one.lookup.keys},
            {op_id: state.ids[op_id] for op_id in one.lookup.ids if op_id in state.ids},
            0,
        )
        self.check(one.proposal, self.desk.decide(one.proposal, len(self.states), found))
        self.desk.read_ended(one.number)

    @rule(one=consumes(looking))
    def lose(self, one: Any) -> None:
        """The read is lost: nothing is decided."""
        self.desk.read_ended(one.number)

    @rule(count=st.sampled_from([0, 0, 0, 1, 2]))
    def commit_some(self, count: int) -> None:
        self.commit = min(self.commit + count, len(self.states) - 1)
        self.desk.prune(self.commit)

    def check(self, proposal: Proposal, decision: Decision) -> None:
        """Compare with the plainest way to decide, and do what was decided."""
        assert decision in self.expected(proposal)
        if not isinstance(decision, Admit):
            return
        sequence, versions, ids = len(self.states), dict(self.tail.versions), dict(self.tail.ids)
        for effect in decision.effects:
            versions[effect[2]] = sequence if effect[0] == "p" else 0
            self.changed[effect[2]] = sequence
        if proposal.op_id:
            ids[proposal.op_id] = (sequence, proposal.digest, decision.outcome)
        self.states.append(replace(self.tail, versions=versions, ids=ids))

    def expected(self, proposal: Proposal) -> list[Decision]:
        """What may be decided, by everything that was ever written."""
        known = self.tail.ids.get(proposal.op_id)
        if known is not None:
            if known[1] != proposal.digest:
                return [Refuse("mismatch", "this operation id was used for another request")]
            return [Replay(known[0], known[2])]
        sequence = len(self.states)
        for key, wanted in proposal.compares:
            version = self.tail.versions.get(key, 0)
            if version != wanted and not (wanted == PRESENT and version):
                outcome = [COMPARE_FAILED, key, version]
                if proposal.op_id:
                    return [Admit([], outcome)]
                return self.refused_by(key, outcome)
        (change,) = proposal.changes
        effect: list[Any] = ["d", "p", change.key]
        if change.value is not None:
            effect = ["p", "p", change.key, change.value, sequence]
        return [Admit([effect], [WRITTEN, sequence])]

    def refused_by(self, key: str, outcome: list[Any]) -> list[Decision]:
        """At once only by what is committed; else when the entry is that the compare failed by."""
        changed = self.changed.get(key, 0)
        at_once = Refuse("compare", compare_failed(key, outcome[2]), outcome[2])
        later = [Replay(changed, outcome)] if changed else []
        return [*later, at_once] if changed <= self.commit else later


@pytest.fixture(autouse=True)
def _forgets_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_TABLE_MAX", 1)


class TestAdmissionHistory(AdmissionHistory.TestCase):
    settings = settings(max_examples=80, stateful_step_count=50)
