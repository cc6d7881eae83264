"""What is said of a shard holds on for those that continue it."""

from __future__ import annotations

from typing import Any

from config.shard_rules import differing, is_named, pin_of, rule_of, said_of

CONTENT: dict[str, Any] = {
    "survival": [
        {"name": "named", "shards": "s03", "goal": "region"},
        {"name": "all", "shards": "*", "goal": "zone"},
    ],
    "on_quorum_loss": [{"shards": "s0*", "then": "stop"}],
    "pins": [{"shard": "s03", "node": "n1"}, {"shard": "s12", "node": "n2"}],
}
CHILD, OTHER = ("s12", "s03"), ("s13", "s03")


def test_the_first_rule_that_fits_a_shard_or_one_that_it_continues_holds() -> None:
    assert rule_of(CONTENT, "survival", ("s03",)) == 0
    assert rule_of(CONTENT, "survival", CHILD) == 0, "the rule of all comes later"
    assert rule_of(CONTENT, "survival", ("s12",)) == 1
    assert rule_of(CONTENT, "on_quorum_loss", CHILD) == 0
    assert rule_of(CONTENT, "on_quorum_loss", ("s12",)) is None
    assert rule_of(CONTENT, "spread", CHILD) is None


def test_the_pin_of_the_nearest_holds() -> None:
    assert pin_of(CONTENT, CHILD) == {"shard": "s12", "node": "n2"}
    assert pin_of(CONTENT, OTHER) == {"shard": "s03", "node": "n1"}
    assert pin_of(CONTENT, ("s20", *CHILD)) == {"shard": "s12", "node": "n2"}
    assert pin_of(CONTENT, ("s20",)) is None


def test_shards_of_which_something_else_is_said_differ_in_a_part() -> None:
    assert differing(CONTENT, CHILD, OTHER) == "pins"
    assert differing(CONTENT, OTHER, ("s20",)) == "survival"
    assert differing(CONTENT, OTHER, ("s14", "s03")) == ""
    assert differing({}, CHILD, OTHER) == ""
    assert said_of(CONTENT, OTHER) == said_of(CONTENT, ("s14", "s03"))


def test_two_pins_to_one_node_in_the_same_way_are_the_same() -> None:
    pins = [{"shard": "a", "node": "n1"}, {"shard": "b", "node": "n1"}]
    assert differing({"pins": pins}, ("a",), ("b",)) == ""
    pins[1]["failover"] = "operator"
    assert differing({"pins": pins}, ("a",), ("b",)) == "pins"


def test_a_rule_of_all_names_nobody() -> None:
    assert [is_named(CONTENT, name) for name in ("s03", "s04", "s12", "s20")] == [
        True, True, True, False,
    ]  # fmt: skip
