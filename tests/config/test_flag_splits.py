"""Splits of keys: as many as the shares say, always the same, and moved only where a border is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.flag_shape import WHOLE
from config.flags import FlagSet, bucket_of, compile_document

KEYS = 100_000
SPREAD_MAX = 0.01
VARIANTS = "abcde"


def variants_by_key(
    flag: dict[str, Any], keys: list[str], version: int = 1, name: str = "flag"
) -> dict[str, str | None]:
    """Which variant each key has; the flag stands in a document with others."""
    flags = {name: {"variants": dict.fromkeys(VARIANTS, 0), "off": "a"} | flag}
    found = FlagSet([compile_document("flags.web", version, {"flags": flags}, "eu")])
    return {key: found.evaluate(name, key, {"n": 1}).variant for key in keys}


def split(*units: int) -> list[dict[str, Any]]:
    """Shares of variants a, b, c ..., in thousandths of a percent."""
    return [
        {"serve": variant, "percent": share / 1_000}
        for variant, share in zip(VARIANTS, units, strict=False)
    ]


def keys_of(start: int, count: int) -> list[str]:
    """Keys as applications have them."""
    return [f"user-{number}" for number in range(start, start + count)]


shares = (
    st.lists(st.integers(0, WHOLE), min_size=1, max_size=4)
    .map(lambda borders: [0, *sorted(borders), WHOLE])
    .map(lambda borders: [b - a for a, b in pairwise(borders)])
)


@settings(max_examples=3, deadline=None)
@given(shares, st.integers(0, 10**9), st.text("abcxyz-", min_size=1, max_size=12))
def test_shares_are_kept_within_one_percent_of_a_hundred_thousand_keys(
    units: list[int], start: int, salt: str
) -> None:
    found = list(
        variants_by_key({"split": split(*units), "salt": salt}, keys_of(start, KEYS)).values()
    )
    for variant, share in zip(VARIANTS, units, strict=False):
        assert abs(found.count(variant) / KEYS - share / WHOLE) < SPREAD_MAX


def test_a_thousandth_of_a_percent_moves_the_keys_of_one_bucket() -> None:
    bucket = bucket_of(b"flag\0", "ada")
    found = [
        variants_by_key({"split": split(units, WHOLE - units)}, ["ada"])["ada"]
        for units in (bucket - 1, bucket, bucket + 1)
    ]
    assert found == ["b", "b", "a"]


@settings(max_examples=50, deadline=None)
@given(shares, st.integers(2, 50), st.text(max_size=100))
def test_a_key_keeps_its_variant_over_versions_that_leave_its_rule_alone(
    units: list[int], version: int, description: str
) -> None:
    rule = {"when": {"n": {"equals": 1}}, "split": split(*units)}
    before = {"default": "a", "rules": [rule]}
    other = {"when": {"n": {"equals": 2}}, "serve": "b"}
    after = {"default": "b", "rules": [other, rule], "description": description}
    keys = [*keys_of(0, 200), "é", "\x00", "x" * 1_000]
    assert variants_by_key(before, keys) == variants_by_key(after, keys, version)


@settings(max_examples=40, deadline=None)
@given(shares, st.data())
def test_a_share_that_is_widened_into_its_neighbour_only_takes_keys(
    units: list[int], data: st.DataObject
) -> None:
    grown = data.draw(st.integers(0, len(units) - 2), "grown")
    giving = data.draw(st.sampled_from([n for n in (grown - 1, grown + 1) if n >= 0]), "giving")
    taken = data.draw(st.integers(0, units[giving]), "taken")
    wider = list(units)
    wider[grown] += taken
    wider[giving] -= taken
    keys = keys_of(0, 1_000)
    before = variants_by_key({"split": split(*units)}, keys)
    after = variants_by_key({"split": split(*wider)}, keys)
    moved = {(before[key], after[key]) for key in keys if before[key] != after[key]}
    assert moved <= {(VARIANTS[giving], VARIANTS[grown])}


def test_a_flag_on_its_way_to_everybody_never_takes_a_key_back() -> None:
    keys = keys_of(0, 5_000)
    reached: set[str] = set()
    for units in (0, 1_000, 10_000, 33_333, 50_000, 99_999, WHOLE):
        found = variants_by_key({"split": split(units, WHOLE - units)}, keys)
        now = {key for key, variant in found.items() if variant == "a"}
        assert reached <= now
        reached = now
    assert reached == set(keys)


@pytest.mark.parametrize("salt", [None, "shared"])
def test_flags_split_independently_unless_they_share_a_salt(salt: str | None) -> None:
    keys = keys_of(0, 20_000)
    flag: dict[str, Any] = {"split": split(50_000, 50_000)} | ({"salt": salt} if salt else {})
    one, other = (variants_by_key(flag, keys, name=name) for name in ("one", "other"))
    same = sum(one[key] == other[key] for key in keys) / len(keys)
    assert same == 1 if salt else abs(same - 0.5) < 0.02
