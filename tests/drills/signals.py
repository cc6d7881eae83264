"""What shows a failure mode at Prometheus, and when it did: read off the samples it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.parser import text_string_to_metric_families

from tests.alerts.watched_fleet import WatchedFleet
from tests.alerts.watchmen import Prometheus
from tests.drills.pace import TURN_S, held_s


class Signal(Protocol):
    """Something to be seen."""

    @property
    def name(self) -> str:
        """What it is called on the page."""

    @property
    def for_s(self) -> float:
        """How long it has to be true before it counts."""

    def before(self, watched: WatchedFleet) -> Mapping[str, float]:
        """What nodes show of it before anything is done."""

    def seen_s(
        self, prometheus: Prometheus, since_s: float, before: Mapping[str, float]
    ) -> float | None:
        """When it was first seen after a moment, by the wall clock; None: it was not yet."""


@dataclass(frozen=True, slots=True)
class Fires:
    """An alert, as `state` says."""

    alert: str
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = "firing"

    @property
    def name(self) -> str:
        """The alert's, and its state if that is another one."""
        return self.alert if self.state == "firing" else f"{self.alert}, {self.state}"

    @property
    def for_s(self) -> float:
        """The alert's own, at this pace."""
        return held_s(self.alert) if self.state == "firing" else 0.0

    def before(self, watched: WatchedFleet) -> Mapping[str, float]:
        """Nothing: an alert that fires already says nothing of what comes."""
        assert not self.is_on(watched.prometheus), f"{self.name} already"
        return {}

    def seen_s(
        self, prometheus: Prometheus, since_s: float, before: Mapping[str, float]
    ) -> float | None:
        """When it was first judged to be so."""
        return min(self._times(prometheus, since_s), default=None)

    def is_on(self, prometheus: Prometheus) -> bool:
        """Whether it is so now."""
        return bool(prometheus.now(self._series))

    def ended_s(self, prometheus: Prometheus, since_s: float) -> float:
        """When it was first judged not to be so any more."""
        return max(self._times(prometheus, since_s)) + TURN_S

    def _times(self, prometheus: Prometheus, since_s: float) -> Iterator[float]:
        for each in prometheus.samples(self._series, since_s):
            yield from (at for at, _ in each["values"])

    @property
    def _series(self) -> str:
        wanted = {"alertname": self.alert, "alertstate": self.state, **self.labels}
        return _selector("ALERTS", wanted)


@dataclass(frozen=True, slots=True)
class Grows:
    """A counter, at any node."""

    counter: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The counter's."""
        return f"`{_selector(self.counter, self.labels)}` grows"

    @property
    def for_s(self) -> float:
        """It counts at once."""
        return 0.0

    def before(self, watched: WatchedFleet) -> Mapping[str, float]:
        """What nodes say of themselves: at Prometheus their last change may not have arrived."""
        return {
            watched.instances[node]: self._shown(watched.at(node).send("GET", "/metrics").body)
            for node in watched.nodes
        }

    def seen_s(
        self, prometheus: Prometheus, since_s: float, before: Mapping[str, float]
    ) -> float | None:
        """When a scrape brought more of it."""
        grown = (
            at
            for each in prometheus.samples(_selector(self.counter, self.labels), since_s)
            for at, value in each["values"]
            if float(value) > before[each["metric"]["instance"]]
        )
        return min(grown, default=None)

    def _shown(self, page: bytes) -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(page.decode())
            for sample in family.samples
            if sample.name == self.counter and self.labels.items() <= sample.labels.items()
        )


def _selector(name: str, labels: Mapping[str, str]) -> str:
    wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{wanted}}}" if wanted else name


def paged(prometheus: Prometheus, since_s: float, state: str = "firing") -> list[str]:
    """Which alerts of those that page were so, at any moment since then."""
    series = _selector("ALERTS", {"severity": "page", "alertstate": state})
    found = prometheus.samples(series, since_s)
    return sorted({each["metric"]["alertname"] for each in found if each["values"]})
