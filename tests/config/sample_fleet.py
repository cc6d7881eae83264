"""A fleet of three regions, in documents, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from config.builtin import builtin_content
from config.check import Edit, Unfit, decide
from config.document import Kind, canonical, region_name
from config.feed import Feed
from config.revision import Revision

REGIONS = ("ap", "eu", "us")


def region(name: str) -> dict[str, Any]:
    """The content of one region: zones a and b, stores 1 and 2."""
    return {
        "latitude": 0.0,
        "longitude": 0.0,
        "zones": ["a", "b"],
        "stores": [{"id": f"{name}-1", "zone": "a"}, {"id": f"{name}-2", "zone": "b"}],
        "egress_usd_per_gb": {},
        "egress_elsewhere_usd_per_gb": 0.09,
        **builtin_content(Kind.REGION),
    }


def feed() -> Feed:
    """What holds before anybody edits."""
    return Feed(Revision(region_name(name), 0, canonical(region(name))) for name in REGIONS)


def put(
    documents: Feed, name: str, content: Any, schema: str = "", deletes: bool = False
) -> Revision | Unfit:
    """What comes of an edit; one that is taken is in force at once."""
    edit = Edit(name, content, schema, "ada", "a test", 17, deletes)
    outcome = decide(edit, documents, 1)
    if isinstance(outcome, Revision):
        documents.apply(outcome)
    return outcome


def refused(documents: Feed, name: str, content: Any, schema: str = "") -> list[str]:
    """Where an edit is refused; fails when it is taken."""
    outcome = put(documents, name, content, schema)
    assert isinstance(outcome, Unfit), outcome
    return [finding.pointer for finding in outcome.findings]
