"""Reads of a shard that has lost its quorum: they go on and grow old, or they stop in time."""

from __future__ import annotations

import pytest

from config.revision import Revision
from controlplane.node.quorum_loss import STOP_TTLS
from controlplane.requests import Consistency, Found, Problem, Refused
from tests.config.sample_fleet import put as put_document
from tests.node.rig import Rig, Seat
from tests.node.test_nearby import led_rig, put, read, shown

BOUNDED, SESSION, ANY = Consistency.BOUNDED, Consistency.SESSION, Consistency.ANY
STOP = [{"shards": "a", "then": "stop"}]


def without_a_leader(*rules: dict[str, str], ms: int) -> tuple[Rig, Seat]:
    """A shard whose leader is cut off, read at a node that reaches one store of three."""
    rig, n1, n2 = led_rig()
    put(rig, n1, b"v")
    rig.run(300)
    documents = put_document(n2.node.feed, "constraints", {"on_quorum_loss": list(rules)})
    assert isinstance(documents, Revision), documents
    for store in rig.stores:
        rig.disconnect("n1", store)
    for store in ("s2", "s3"):
        rig.disconnect("n2", store)
    rig.run(ms)
    return rig, n2


@pytest.mark.parametrize("how", [ANY, SESSION])
@pytest.mark.parametrize(
    "rules",
    [[], [{"shards": "a*", "then": "read-only"}, *STOP], [{"shards": "b*", "then": "stop"}]],
)
def test_reads_go_on_unless_the_first_rule_that_fits_says_stop(
    how: Consistency, rules: list[dict[str, str]]
) -> None:
    rig, n2 = without_a_leader(*rules, ms=5_000)
    found = read(rig, n2, how)
    assert shown(found) == b"v"


@pytest.mark.parametrize("how", [ANY, SESSION])
def test_reads_of_a_shard_that_stops_are_refused_once_nobody_vouches(how: Consistency) -> None:
    rig, n2 = without_a_leader(*STOP, ms=STOP_TTLS * 1_000 + 1_000)
    refused = read(rig, n2, how)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NO_QUORUM


def test_nor_has_a_bound_that_is_wide_enough_a_different_answer() -> None:
    rig, n2 = without_a_leader(*STOP, ms=STOP_TTLS * 1_000 + 1_000)
    assert isinstance(read(rig, n2, BOUNDED, max_staleness_ms=60_000), Refused)


def test_they_go_on_while_a_leader_vouches() -> None:
    rig, n2 = without_a_leader(*STOP, ms=1_000)
    assert isinstance(read(rig, n2, ANY), Found)


def test_how_many_stop_is_counted_by_group() -> None:
    rig, _, n2 = led_rig()
    put_document(n2.node.feed, "constraints", {"on_quorum_loss": STOP})
    assert n2.node.quorum_loss.count() == {}, "a shard that is not in the map counts for no group"
    assert n2.node.fleet(rig.now_ms).groups[0].stops == 0
