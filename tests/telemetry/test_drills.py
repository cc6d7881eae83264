"""What `make drills` reads off the samples of Prometheus, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from controlplane.bench.machine_facts import MachineFacts
from tests.alerts.watchmen import Prometheus
from tests.drills.book import Book, Finding, Quiet
from tests.drills.signals import Fires, Grows, paged

MACHINE = MachineFacts("a processor", 2, 23.5, "6.1", "3.11", "ext4", 0.2, "abc", "today")
LABELS = {"alertname": "LeadplaneBlind", "severity": "page"}


@dataclass
class Kept:
    """What a Prometheus keeps of the one series that is asked for."""

    labels: dict[str, str]
    values: list[tuple[float, str]]
    asked: str = ""

    def samples(self, series: str, since_s: float) -> list[dict[str, Any]]:
        self.asked = series
        return [{"metric": self.labels, "values": [v for v in self.values if v[0] >= since_s]}]


def kept(*values: tuple[float, str], **labels: str) -> Prometheus:
    return cast(Prometheus, Kept(labels, list(values)))


def test_an_alert_is_seen_at_its_first_sample_and_ends_a_turn_after_its_last() -> None:
    signal, found = Fires("LeadplaneBlind", {"instance": "n1"}), kept((5, "1"), (10, "1"))
    assert signal.seen_s(found, 3.0, {}) == 5
    assert signal.ended_s(found, 3.0) == 15
    assert signal.seen_s(found, 11.0, {}) is None
    wanted = 'ALERTS{alertname="LeadplaneBlind",alertstate="firing",instance="n1"}'
    assert cast(Kept, found).asked == wanted


def test_a_counter_is_seen_when_a_node_shows_more_than_it_did() -> None:
    signal = Grows("leadplane_events_total", {"kind": "store-forgot"})
    found = kept((5, "2"), (20, "3"), (35, "4"), instance="n1")
    assert signal.seen_s(found, 0.0, {"n1": 2.0}) == 20
    assert signal.seen_s(found, 0.0, {"n1": 4.0}) is None
    page = b"""\
# TYPE leadplane_events counter
leadplane_events_total{kind="store-forgot"} 2.0
leadplane_events_total{kind="elected"} 7.0
"""
    assert signal._shown(page) == 2


def test_pages_are_those_that_have_samples_since_then() -> None:
    found = kept((5, "1"), **LABELS)
    assert paged(found, 3.0) == ["LeadplaneBlind"]
    assert paged(found, 6.0) == []


def test_the_page_says_what_was_late_or_not_finished() -> None:
    kept = Finding("D6", "a store is killed", "LeadplaneStoreDown", 120, 150, 130.2, failed="")
    late = Finding("D3", "a pin", "LeadplaneNoLeader", 30, 60, 61, failed="it was seen too late")
    rest = Quiet("a transfer", 99.0, failed="")
    page = Book("make drills", 1.0, [kept, late], [rest]).page(MACHINE, "data.json")
    assert "**2 of 3 as promised.**" in page
    rows = [line for line in page.splitlines() if line.startswith("| D")]
    assert [row.split(" | ")[0] for row in rows] == ["| D3", "| D6", "| D12", "| D3", "| D6"]
    assert "LeadplaneStoreDown (`for` 120 s) | 130.2 s | 150.0 s" in page
    assert "**NO**: it was seen too late" in page
    assert "| a transfer | 99.0 s | none | none | ok |" in page
