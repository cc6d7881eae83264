"""A fleet is whole when nothing is missing, and says what is."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from controlplane.chaos.whole import Expectation, until_whole

STORES = ("s1", "s2", "s3")
STATUS: dict[str, Any] = {
    "stores": [{"store": store, "state": "up"} for store in STORES],
    "groups": [{"group": "g", "voters": list(STORES), "reachable": 3}],
}
ROWS = [{"shard": "s00", "leader": {"node": "n1"}, "lease_remaining_ms": 5}]


class PaperEyes:
    """Sees one node, which says what it is given."""

    def __init__(self, status: Any, rows: list[dict[str, Any]]) -> None:
        self.urls = {"n1": ""}
        self._status = status
        self._rows = rows

    async def document(self, node: str, path: str) -> Any:
        return self._status

    async def rows(self, node: str) -> list[dict[str, Any]]:
        return self._rows


async def missing(
    change: Callable[[Any, list[Any]], None] = lambda status, rows: None, **others: str
) -> str:
    """What is missing once something is changed."""
    status, rows = deepcopy(STATUS), deepcopy(ROWS)
    change(status, rows)
    eyes = PaperEyes(status, rows)
    return await until_whole(eyes, Expectation(1, others), seconds=0)  # type: ignore[arg-type]


async def test_nothing_is_missing() -> None:
    assert await missing() == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s, r: s["stores"][1].update(state="down"), "n1 sees s2 down"),
        (lambda s, r: s["groups"][0].update(reachable=2), "n1 sees 2 of 3 voters of g count"),
        (lambda s, r: r[0].update(leader=None), "n1 knows no leader of s00"),
        (lambda s, r: r[0].update(lease_remaining_ms=None), "0 of 1 shards are led"),
    ],
)
async def test_what_is_missing_is_named(change: Callable[[Any, Any], None], told: str) -> None:
    assert await missing(change) == told


async def test_a_store_that_must_end_otherwise_is_not_missed_but_must_do_so() -> None:
    def refuse(status: Any, rows: Any) -> None:
        status["stores"][1].update(state="refused")
        status["groups"][0].update(reachable=2)

    assert await missing(refuse, s2="refused") == ""
    assert await missing(s2="refused") == "n1 sees s2 up"
