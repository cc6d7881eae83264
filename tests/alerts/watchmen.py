"""A real Prometheus and a real Alertmanager, with what is committed in deploy, at a pace."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controlplane.telemetry.rules.files import as_yaml, write_rules
from controlplane.telemetry.rules.routing import Receivers, alertmanager
from controlplane.telemetry.rules.scale import Scale
from controlplane.telemetry.rules.scraping import prometheus
from tests.integration.fleet_on_test import wait_for
from tests.servers import free_port

PROMETHEUS: Final = "prometheus"
ALERTMANAGER: Final = "prometheus-alertmanager"
READY_S_MAX: Final = 40.0
ANSWER_S_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The scale of all times in rules, and how often Prometheus asks and judges."""

    scale: Scale
    asks: Mapping[str, str]
    lookback: str = "5m"  # as Prometheus has it


HURRIED: Final = Pace(
    Scale(1 / 60),
    {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "250ms"},
    lookback="5s",
)
"""An hour in a minute. To ask as often as that means, a busy machine has no time."""


class Prometheus:
    """What can be asked of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.since_s = time.time()

    def now(self, query: str) -> list[dict[str, Any]]:
        """The value of an expression."""
        found: list[dict[str, Any]] = self._ask("query", query=query)
        return found

    def ever(self, query: str, step_s: float = 1.0) -> list[dict[str, Any]]:
        """Its values from the start until now. Raises HTTPError when it is none."""
        found: list[dict[str, Any]] = self._ask(
            "query_range", query=query, start=self.since_s, end=time.time(), step=step_s
        )
        return found

    def firing(self) -> set[str]:
        """The names of alerts that fire now."""
        found = self.now('ALERTS{alertstate="firing"}')
        return {each["metric"]["alertname"] for each in found}

    def samples(self, series: str, since_s: float) -> list[dict[str, Any]]:
        """What is kept of some series, each sample with its time, from a moment on."""
        lasts_ms = round((time.time() - since_s) * 1_000) + 1
        return [
            {**each, "values": [(at, v) for at, v in each["values"] if at >= since_s]}
            for each in self.now(f"{series}[{lasts_ms}ms]")
        ]

    def _ask(self, what: str, **words: Any) -> Any:
        query = urllib.parse.urlencode(words)
        url = f"{self._url}/api/v1/{what}?{query}"
        with urllib.request.urlopen(url, timeout=ANSWER_S_MAX) as reply:
            return json.load(reply)["data"]["result"]


@contextmanager
def watching(
    folder: Path, nodes: Sequence[str], programs: Mapping[str, Path], pager: str, pace: Pace
) -> Iterator[Prometheus]:
    """Both of them, for as long as the block lasts; the pager is told at `/pages`, `/tickets`."""
    ours, theirs = (f"127.0.0.1:{free_port()}" for _ in range(2))
    write_rules(folder, pace.scale)
    asks = prometheus(pace.scale, nodes, theirs)
    asks["global"] = dict(pace.asks)
    tells = alertmanager(pace.scale, Receivers(f"{pager}/pages", f"{pager}/tickets"))
    (folder / "prometheus.yaml").write_text(as_yaml(asks), "utf-8")
    (folder / "alertmanager.yaml").write_text(as_yaml(tells), "utf-8")
    with ExitStack() as stack:
        stack.enter_context(
            _running(
                [
                    str(programs[ALERTMANAGER]),
                    f"--config.file={folder / 'alertmanager.yaml'}",
                    f"--storage.path={folder / 'alerts'}",
                    f"--web.listen-address={theirs}",
                    "--cluster.listen-address=",
                ],
                folder / "alertmanager.log",
                f"http://{theirs}/-/ready",
            )
        )
        stack.enter_context(
            _running(
                [
                    str(programs[PROMETHEUS]),
                    f"--config.file={folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={folder / 'series'}",
                    f"--web.listen-address={ours}",
                    f"--query.lookback-delta={pace.lookback}",
                ],
                folder / "prometheus.log",
                f"http://{ours}/-/ready",
            )
        )
        yield Prometheus(f"http://{ours}")


@contextmanager
def _running(words: Sequence[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, cwd=log.parent)
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text("utf-8")
            try:
                with urllib.request.urlopen(ready, timeout=ANSWER_S_MAX) as reply:
                    return bool(reply.status == 200)
            except urllib.error.URLError:
                return False

        wait_for(is_ready, f"{Path(words[0]).name} is ready", READY_S_MAX)
        yield
    finally:
        process.kill()
        process.wait()
