"""What can be tuned about leases, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from regions.settings import LeaseSettings


def test_the_defaults_are_those_of_the_guarantees() -> None:
    settings = LeaseSettings()
    assert settings.ttl_floor_ms == 500
    assert (settings.region_ttl_ms, settings.global_ttl_ms) == (2_000, 6_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl_floor_ms": 499},
        {"region_ttl_ms": 499},
        {"global_ttl_ms": "6000"},
        {"ttl": 2_000},
    ],
)
def test_what_would_undercut_a_lease_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LeaseSettings(**wrong)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        LeaseSettings().ttl_floor_ms = 1_000  # type: ignore[misc]
