"""The measuring itself: percentiles, the closed loop, the wires, the peers. Smoke, not figures."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest

from controlplane.bench import etcd_wire
from controlplane.bench.bare_handler import GET, PUT, ROUTE, BareAnswer
from controlplane.bench.bench_fleet import one_region_topology
from controlplane.bench.closed_loop import ClosedLoop, LoopTimes
from controlplane.bench.comparison import alternate, typical
from controlplane.bench.etcd_cluster import EtcdAbsent, etcd_cluster
from controlplane.bench.flags import KINDS, measure_flags
from controlplane.bench.http_edge import Metered, cpu_s
from controlplane.bench.load import LoadBroken, LoadResult, LoadSpec, run_load
from controlplane.bench.lookups import measure_lookups
from controlplane.bench.machine_facts import machine_facts
from controlplane.bench.report import Figure, Findings, Report, number_text, record
from controlplane.bench.resolve import PATH, bare_handler, bare_process
from controlplane.bench.spread import nearest_rank, ratio, spread
from controlplane.bench.store_traffic import store_use
from controlplane.cli.connection import FleetAccess
from controlplane.embedded import StoreProcess, free_ports
from controlplane.store_config import StoreSpec, find_store_binary
from regions.topology_file import load_topology


def result(per_second: float) -> LoadResult:
    return LoadResult(1, per_second, spread([1.0]), {})


def test_percentiles_are_values_that_were_measured() -> None:
    hundred = [float(n) for n in range(1, 101)]
    summary = spread(hundred[::-1])
    assert (summary.count, summary.p50_ms, summary.p99_ms, summary.max_ms) == (100, 50, 99, 100)
    assert nearest_rank([1.0, 2.0, 3.0], 0.5) == 2.0
    assert spread([7.0]).p99_ms == 7.0
    assert spread([]).count == 0
    assert ratio(3.0, 2.0) == 1.5


def test_contenders_take_turns_and_the_middle_round_counts() -> None:
    order: list[str] = []
    speeds = {"a": iter([1.0, 9.0, 5.0]), "b": iter([2.0, 2.0, 2.0])}

    def measure(name: str) -> LoadResult:
        order.append(name)
        return result(next(speeds[name]))

    results = alternate(
        (("a", lambda: measure("a")), ("b", lambda: measure("b"))), 3, lambda line: None
    )
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert typical(results["a"]).per_second == 5.0


def test_the_closed_loop_counts_only_the_measured_time() -> None:
    loop = ClosedLoop(1, LoopTimes(warmup_s=1_000, measured_s=1_000))
    loop.start()
    assert loop.answered(0.0) is True
    assert loop.durations_ms == []
    over = ClosedLoop(2, LoopTimes(warmup_s=0, measured_s=0))
    over.start()
    assert [over.answered(0.0), over.done.is_set()] == [False, False]
    assert [over.answered(0.0), over.done.is_set()] == [False, True]


def test_a_put_is_a_frame_of_headers_and_a_frame_of_data() -> None:
    message = etcd_wire.put_message(b"key", b"value")
    assert message == b"\x00\x00\x00\x00\x0c\x0a\x03key\x12\x05value"
    assert etcd_wire.frame(etcd_wire.DATA, 1, 3, b"xy") == b"\x00\x00\x02\x00\x01\x00\x00\x00\x03xy"


def test_a_failed_stream_is_no_success() -> None:
    loop = ClosedLoop(1, LoopTimes(0, 1_000))
    loop.start()
    wire = etcd_wire.EtcdWire(loop, "x", lambda: (b"k", b"v"))
    sent: list[bytes] = []

    class Transport:
        def write(self, data: bytes) -> None:
            sent.append(data)

    wire.connection_made(Transport())  # type: ignore[arg-type]
    wire.send()
    trailers = etcd_wire.frame(etcd_wire.HEADERS, etcd_wire.END_STREAM, 1, b"\x88")
    wire.data_received(trailers[:5])
    assert not loop.failures
    wire.data_received(trailers[5:])
    assert loop.failures == {"gRPC error": 1}
    ping = etcd_wire.frame(etcd_wire.PING, 0, 0, b"8 bytes!")
    wire.data_received(ping)
    assert sent[-1] == etcd_wire.frame(etcd_wire.PING, etcd_wire.ACK, 0, b"8 bytes!")
    wire.data_received(etcd_wire.frame(etcd_wire.WINDOW_UPDATE, 0, 0, struct.pack(">I", 5)))
    assert not loop.broken


def test_http_load_against_the_bare_handler() -> None:
    with bare_handler(300) as port:
        spec = LoadSpec("http-get", "127.0.0.1", port, 4, 0.1, 0.3, PATH)
        found = run_load(spec)
        assert found.failures == {}
        assert found.per_second > 10
        with pytest.raises(LoadBroken, match="HTTP 404"):
            run_load(LoadSpec("http-get", "127.0.0.1", port, 1, 0.1, 0.3, "/nothing"))
    with pytest.raises(LoadBroken, match=str(port)):
        run_load(spec)


def test_bare_handlers_answer_what_they_are_told_and_are_metered() -> None:
    put = BareAnswer(120, {"Leadplane-Role": "leader"})
    with bare_process({ROUTE: BareAnswer(300), GET: BareAnswer(5), PUT: put}) as (port, pid):
        access = FleetAccess((f"http://127.0.0.1:{port}",))
        assert len(access.send("GET", "/v1/route", query={"key": "a"}).body) == 300
        assert len(access.send("GET", "/v1/kv/a").body) == 5
        reply = access.send("PUT", "/v1/kv/a", body=b"x")
        assert (len(reply.body), reply.headers["leadplane-role"]) == (120, "leader")
        spec = LoadSpec("http-put", "127.0.0.1", port, 4, 0.0, 0.3, "/v1/kv/{key}")
        metered = Metered(pid, spec)
        found = metered.run()
        assert found.failures == {}
        (each_us,) = metered.cpu_us
        assert each_us * found.latency.count <= cpu_s(pid) * 1e6


@pytest.mark.needs_binary("etcd")
def test_etcd_load(tmp_path: Path) -> None:
    with etcd_cluster(folder=tmp_path) as cluster:
        found = run_load(LoadSpec("etcd-put", "127.0.0.1", cluster.port, 40, 0.2, 0.5))
    assert found.failures == {}
    assert found.latency.count > 10
    assert list(tmp_path.iterdir()) == []


def test_without_etcd_it_says_how_to_get_it() -> None:
    with pytest.raises(EtcdAbsent, match="install etcd-server"), etcd_cluster("no-such-etcd"):
        pytest.fail("it started")


def test_lookups_are_measured() -> None:
    figures = measure_lookups(1).figures
    assert all(figure.ours > 1_000 for figure in figures)


def test_flags_are_measured() -> None:
    figures = measure_flags(1, lambda line: None).figures
    assert [figure.what.rsplit(" ", 1)[1] for figure in figures] == list(KINDS)
    assert all(0 < figure.ours < 1_000 for figure in figures)


async def test_stores_are_asked_what_they_did(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    store = StoreProcess(StoreSpec("s", tmp_path / "s", port, find_store_binary()))
    await store.start()
    try:
        before = await asyncio.to_thread(store_use, [port])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PING\r\n" * 3 + b"SET a b\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        after = await asyncio.to_thread(store_use, [port])
    finally:
        await store.stop()
    assert after.calls - before.calls == 3
    assert after.commands_inside - before.commands_inside == 1
    assert after.kib > before.kib


def test_the_topology_beside_etcd_has_three_stores_in_one_region() -> None:
    topology = load_topology(one_region_topology(nodes=2))
    assert (len(topology.stores), len(topology.nodes), len(topology.regions)) == (3, 2, 1)
    assert {len(group.stores) for group in topology.groups} == {3}


def test_a_report_is_recorded_with_its_targets(tmp_path: Path) -> None:
    figures = (
        Figure("writes, 256 clients", 21_000.0, "/s", 7_000.0, 3.0, "at least 3 times", True),
        Figure("p50", 1.25, "ms", 1.5, 0.83),
    )
    findings = Findings("writes", "etcd 3.4.23", "How.", figures, ({"of": "etcd"},))
    report = Report("leadplane bench writes", machine_facts(tmp_path), (findings,))
    assert report.kept()
    page, data = record(report, tmp_path / "results" / "writes-here")
    text = page.read_text()
    assert text.startswith("# Writes here\n")
    assert "| writes, 256 clients | 21,000 /s | 7,000 | 3 | at least 3 times | yes |" in text
    assert f"[{data.name}]({data.name})" in text
    assert [number_text(n) for n in (None, 0.123456, 123.4, 12_345.6)] == [
        "",
        "0.123",
        "123",
        "12,346",
    ]
