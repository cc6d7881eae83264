"""A placement problem survives being written down, and what is wrong with one has a place."""

import json
from typing import Any

import numpy as np
import pytest

from shards.placement.errors import ProblemInvalid
from shards.placement.problem import HOURS_PER_MONTH, places_of, usable_for
from shards.placement.problem_file import document_of, problem_from
from shards.placement.synthetic import synthetic_problem

Changes = dict[tuple[str | int, ...], Any]


def small() -> dict[str, Any]:
    """A problem of four regions and six shards, as people would write it."""
    return document_of(synthetic_problem(6, 4, seed=1))


def with_changes(changes: Changes) -> dict[str, Any]:
    """The small problem with some of its values replaced."""
    document = small()
    for pointer, value in changes.items():
        inner: Any = document
        for step in pointer[:-1]:
            inner = inner[step]
        inner[pointer[-1]] = value
    return document


@pytest.mark.parametrize("shards", [0, 6, 400])
def test_what_was_written_is_read_back(shards: int) -> None:
    document = document_of(synthetic_problem(shards, 4, seed=1))
    carried = json.loads(json.dumps(document))
    assert document_of(problem_from(carried)) == document


def test_equal_arguments_make_equal_problems_and_other_seeds_others() -> None:
    once, again = synthetic_problem(50, 6, seed=3), synthetic_problem(50, 6, seed=3)
    assert document_of(once) == document_of(again)
    assert document_of(once) != document_of(synthetic_problem(50, 6, seed=4))


def test_loads_follow_the_sun() -> None:
    morning, night = (synthetic_problem(50, 12, seed=3, hour_utc=hour) for hour in (7.0, 19.0))
    shares = [p.shards.writes_per_s.sum(axis=0) for p in (morning, night)]
    tokyo, virginia = (morning.regions.index(name) for name in ("ap-northeast-1", "us-east-1"))
    assert shares[0][tokyo] > shares[1][tokyo]
    assert shares[0][virginia] < shares[1][virginia]


BAD: tuple[tuple[Changes, str], ...] = (
    ({("regions",): []}, "/regions"),
    ({("regions", 1): "us-east-1"}, "/regions/1"),
    ({("egress_usd_per_gb", 0, 1): -0.02}, "/egress_usd_per_gb/0/1"),
    ({("storage_usd_per_gb_month", 2): -1}, "/storage_usd_per_gb_month/2"),
    ({("instance_usd_per_hour", 3): None}, "/instance_usd_per_hour/3"),
    ({("rtt_ms", 2, 3): None}, "/rtt_ms/2/3"),
    ({("rtt_ms", 2): [1, 2, 3]}, "/rtt_ms"),
    ({("rtt_ms", 2, 3): "far"}, "/rtt_ms/2/3"),
    ({("rtt_ms", 2, 3): True}, "/rtt_ms/2/3"),
    ({("capacities", "leaders", 0): 0}, "/capacities/leaders/0"),
    ({("capacities", "size_bytes", 1): -5}, "/capacities/size_bytes/1"),
    ({("capacities", "leaders"): [1, 2]}, "/capacities/leaders"),
    ({("weights", "payback_months"): 0}, "/weights/payback_months"),
    ({("weights", "usd_per_ms_per_million_writes"): -1}, "/weights/usd_per_ms_per_million_writes"),
    ({("weights", "usd_per_fortnight"): 1}, "/weights/usd_per_fortnight"),
    ({("budget", "moved_bytes"): -1}, "/budget/moved_bytes"),
    ({("drained",): ["atlantis"]}, "/drained/0"),
    ({("drained",): ["us-east-1", "us-west-2", "eu-central-1", "eu-west-1"]}, "/drained"),
    ({("quarantined",): "us-east-1"}, "/quarantined"),
    ({("shards", "allowed", 0): []}, "/shards/allowed/0"),
    (
        {("shards", "allowed", 0): ["us-east-1"], ("shards", "survival", 0): "region"},
        "/shards/allowed/0",
    ),
    ({("shards", "allowed", 0): ["atlantis"]}, "/shards/allowed/0/0"),
    ({("shards", "pin", 1): "atlantis"}, "/shards/pin/1"),
    ({("shards", "pin", 1): "eu-west-1", ("drained",): ["eu-west-1"]}, "/shards/pin/1"),
    ({("shards", "survival", 2): "planet"}, "/shards/survival/2"),
    ({("shards", "voters", 2): 2}, "/shards/voters/2"),
    ({("shards", "strong_share", 2): 1.5}, "/shards/strong_share/2"),
    ({("shards", "writes_per_s", 2, 1): -1}, "/shards/writes_per_s/2/1"),
    ({("shards", "writes_per_s"): [[1, 2]]}, "/shards/writes_per_s"),
    ({("shards", "size_bytes"): [1]}, "/shards/size_bytes"),
    ({("shards", "ids", 1): "s0"}, "/shards/ids"),
    ({("shards", "leader", 1): 3}, "/shards/leader/1"),
    ({("preferences",): [["us-east-1", "atlantis"]]}, "/preferences/0/1"),
    ({("shards", "preference", 1): 3}, "/shards/preference/1"),
    ({("anti_affinity",): [{"name": "a", "shards": ["s9"]}]}, "/anti_affinity/0/shards/0"),
    (
        {("anti_affinity",): [{"name": "a", "shards": ["s0", "s1", "s2", "s3", "s4"]}]},
        "/anti_affinity/0",
    ),
    (
        {("anti_affinity",): [{"name": "a", "shards": [], "leaders_per_region_max": 0}]},
        "/anti_affinity/0/leaders_per_region_max",
    ),
    ({("format",): 2}, "/format"),
    ({("colour",): "red"}, "/colour"),
    (
        {("shards", "size_bytes"): {"base64": "AAAA", "dtype": "float32", "shape": [6]}},
        "/shards/size_bytes/base64",
    ),
    (
        {("shards", "size_bytes"): {"base64": "", "dtype": "object", "shape": [6]}},
        "/shards/size_bytes/dtype",
    ),
)


@pytest.mark.parametrize(("changes", "pointer"), BAD, ids=lambda case: str(case)[:60])
def test_what_is_wrong_is_named_by_its_place(changes: Changes, pointer: str) -> None:
    with pytest.raises(ProblemInvalid) as caught:
        problem_from(with_changes(changes))
    assert pointer in [finding.pointer for finding in caught.value.findings]


@pytest.mark.parametrize("missing", ["regions", "rtt_ms", "shards"])
def test_what_is_missing_is_named(missing: str) -> None:
    document = small()
    del document[missing]
    with pytest.raises(ProblemInvalid) as caught:
        problem_from(document)
    assert [finding.pointer for finding in caught.value.findings] == [f"/{missing}"]


def test_every_reason_is_given_at_once() -> None:
    changes = {("storage_usd_per_gb_month", 0): -1, ("capacities", "leaders", 2): 0}
    with pytest.raises(ProblemInvalid) as caught:
        problem_from(with_changes(changes))
    assert len(caught.value.findings) == 2


def test_quarantine_keeps_what_is_there_and_lets_nothing_come() -> None:
    problem = problem_from(with_changes({("quarantined",): ["us-east-1"]}))
    present = [0 in places_of(int(mask)) for mask in problem.shards.present]
    assert usable_for(problem)[:, 0].tolist() == present


def test_a_month_is_a_month() -> None:
    assert np.isclose(HOURS_PER_MONTH * 12, 365 * 24)
