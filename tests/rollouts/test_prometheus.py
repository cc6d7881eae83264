"""A real Prometheus is asked about the regions of a wave."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from config.gate import Gate, GateKind, Look, Verdict
from config.rollout import Phase
from controlplane.http_client import HttpClient
from controlplane.rollouts.asking import OutsideAsker
from tests.rollouts.test_gates import Scene
from tests.servers import free_port

pytestmark = [pytest.mark.needs_binary("prometheus"), pytest.mark.timeout(300)]

PASS, FAIL, NO_DATA = Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA
READY_S_MAX = 60.0
AGAIN_S = 0.05
CONFIG = """
global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1h}}
scrape_configs:
- job_name: tiny
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
PAGE = """
# TYPE errors gauge
errors{region="eu"} 0.002
errors{region="us"} 0.004
errors{region="ap"} 0.5
errors{region="sa"} NaN
"""


@contextmanager
def tiny_page(text: str) -> Iterator[int]:
    """A page of metrics; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def watching(
    program: Path, folder: Path, text: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Prometheus that watches a page with this text: its address, and the process."""
    port = free_port()
    with tiny_page(text) as page:
        (folder / "prometheus.yml").write_text(CONFIG.format(port=page), "utf-8")
        process = subprocess.Popen(
            [
                str(program), f"--config.file={folder}/prometheus.yml",
                f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder}/data",
                "--log.level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def prometheus(
    needs_binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its address, and the process."""
    folder = tmp_path_factory.mktemp("prometheus")
    with watching(needs_binary("prometheus"), folder, PAGE) as found:
        yield found


@pytest.fixture
async def ask(
    prometheus: tuple[str, subprocess.Popen[bytes]],
) -> AsyncIterator[Callable[..., Any]]:
    """Ask it a query about regions, once it has scraped the page."""
    url, _ = prometheus
    async with HttpClient() as client:
        asker = OutsideAsker(client)

        async def asked(query: str, *regions: str, **more: Any) -> Look:
            named = {"passes": "< 0.01", "timeout_ms": 5_000, **more}
            gate = Gate("errors", GateKind.PROMETHEUS, url=url, query=query, **named)
            (found,) = await asker.ask([gate], regions)
            return found

        async with asyncio.timeout(READY_S_MAX):
            while True:
                if (await asked("count(errors)", passes="== 4")).verdict is PASS:
                    break
                await asyncio.sleep(AGAIN_S)
        yield asked


@pytest.mark.parametrize(
    ("query", "regions", "verdict", "detail"),
    [
        ('errors{region=~"{regions}"}', ("eu",), PASS, "errors: 0.002"),
        ('sum(errors{region=~"{regions}"})', ("us", "eu"), PASS, "errors: 0.006"),
        ('errors{region=~"{regions}"}', ("ap", "eu"), FAIL, "errors: 0.5 is not < 0.01"),
        ('scalar(errors{region=~"{regions}"})', ("us",), PASS, "errors: 0.004"),
        ("vector(0)", (), PASS, "errors: 0"),
        ("0", (), PASS, "errors: 0"),
        ('errors{region=~"{regions}"}', ("mars",), NO_DATA, "errors: an empty answer"),
        ('errors{region=~"{regions}"}', ("sa",), NO_DATA, "errors: an answer that is no number"),
        ('errors{region=~"{regions}"}', ("sa", "ap"), FAIL, "errors: 0.5 is not < 0.01"),
        ('scalar(errors{region=~"{regions}"})', ("mars",), NO_DATA,
         "errors: an answer that is no number"),
        ("vector(0) / 0", (), NO_DATA, "errors: an answer that is no number"),
        ("vector(1) / 0", (), NO_DATA, "errors: an answer that is no number"),
        ("vector(-1) / 0", (), NO_DATA, "errors: an answer that is no number"),
        ("errors[1m]", (), NO_DATA,
         "errors: a matrix: the query must give a scalar or a vector of numbers"),
        ('"text"', (), NO_DATA,
         "errors: a string: the query must give a scalar or a vector of numbers"),
    ],
)  # fmt: skip
async def test_what_a_query_gives_is_judged(
    ask: Callable[..., Any], query: str, regions: tuple[str, ...], verdict: Verdict, detail: str
) -> None:
    assert await ask(query, *regions) == Look(verdict, detail)


@pytest.mark.parametrize("query", ["errors{", "no_such_function(errors)", "sum by", ""])
async def test_a_query_that_is_none_is_no_data_with_what_prometheus_says_of_it(
    ask: Callable[..., Any], query: str
) -> None:
    found = await ask(query)
    assert found.verdict is NO_DATA
    assert found.detail.startswith("errors: an error: ")


async def said(scene: Scene, seconds: int, **changes: Any) -> Verdict | None:
    """What a look after so many seconds comes to, once it has been answered."""
    found = await scene.look(seconds, **changes)
    async with asyncio.timeout(30):
        while found is None:
            await asyncio.sleep(0.01)
            found = await scene.look()
    return found


async def test_a_rollout_is_led_by_what_it_says_of_the_regions_of_the_wave(
    ask: Callable[..., Any], prometheus: tuple[str, subprocess.Popen[bytes]]
) -> None:
    query = 'errors{region=~"{regions}"}'
    gate = Gate("errors", GateKind.PROMETHEUS, url=prometheus[0], query=query, passes="< 0.01")
    scene = Scene(Gate("fleet"), gate)
    async with HttpClient() as client:
        scene.asker = OutsideAsker(client)  # type: ignore[assignment]
        scene.keeper = scene.another_keeper()
        await scene.look()
        assert await said(scene, 10) is PASS
        assert [look.verdict for look in scene.write().looks] == [PASS, PASS]
        scene.send("us", "ap")
        assert await said(scene, 10, wave=1, phase=Phase.GATING) is FAIL
    own, asked = scene.write().looks
    assert (own.verdict, asked.verdict) == (PASS, FAIL)
    assert asked.detail == "errors: 0.5 is not < 0.01"


async def test_one_that_stands_still_has_no_data(
    ask: Callable[..., Any], prometheus: tuple[str, subprocess.Popen[bytes]]
) -> None:
    _, process = prometheus
    process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
    try:
        still = await ask("vector(0)", timeout_ms=300)
    finally:
        process.send_signal(signal.SIGCONT)
    assert still.verdict is NO_DATA
    assert still.detail.endswith("no answer within 300 ms")
    assert (await ask("vector(0)")).verdict is PASS
