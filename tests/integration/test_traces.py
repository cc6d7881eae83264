"""Traces of a real fleet, as a real receiver of OTLP gets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.integration.fleet_on_test import wait_for
from tests.integration.small_fleet import SmallFleet, key_of, small_fleet

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("traces")]

ASKER = "b7ad6b7169203331"
PUT = "PUT /v1/kv/{key}"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Receiver:
    """Every span that was sent to it, with the node it is of."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.url = ""

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(told["service.instance.id"], span) for span in scope.spans]

    def of(self, trace: str) -> list[tuple[str, Span]]:
        """All of one trace."""
        return [(node, span) for node, span in self.spans if span.trace_id.hex() == trace]


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallFleet, Receiver]]:
    """Two nodes that trace what they are told to trace."""
    with receiver() as collector:
        settings = {
            "LEADPLANE_TRACE_EXPORTER": "otlp",
            "LEADPLANE_TRACE_REQUESTS_PERCENT": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        directory: Path = tmp_path_factory.mktemp("traced")
        with small_fleet(directory, settings, nodes=2) as fleet:
            yield fleet, collector


def put(fleet: SmallFleet, url: str, traceparent: str) -> None:
    headers = {"traceparent": traceparent}
    fleet.access.only(url).send("PUT", key_of("traced"), None, headers, b"v")


def leads(fleet: SmallFleet) -> str:
    """The node that leads the keys' shard, which knows it by now."""
    return str(fleet.shard()["leader"]["node"])


def test_a_write_is_one_trace_across_nodes_and_stores(traced: tuple[SmallFleet, Receiver]) -> None:
    fleet, collector = traced
    trace = "0af7651916cd43dd8448eb211c80319c"
    leader = fleet.shard()["leader"]
    other = next(url for url in fleet.urls if url != leader["url"])
    put(fleet, other, f"00-{trace}-{ASKER}-01")

    def look() -> list[tuple[str, Span]] | None:
        found = collector.of(trace)
        names = [span.name for _, span in found]
        is_whole = names.count("append") >= 2 and names.count(PUT) == 2
        return found if is_whole and {"forward", "write"} <= {*names} else None

    found = wait_for(look, "both nodes tell of their parts")
    assert sorted(span.name for _, span in found if span.name != "append") == sorted(
        [PUT, "forward", PUT, "write"]
    )
    by_id = {span.span_id: (node, span) for node, span in found}
    (_, write) = next(each for each in found if each[1].name == "write")
    for node, span in found:
        if span.name == "append":
            assert span.parent_span_id == write.span_id
            assert node == leader["node"]
    way = [write]
    while (above := by_id.get(way[-1].parent_span_id)) is not None:
        way.append(above[1])
    assert [span.name for span in way] == ["write", PUT, "forward", PUT]
    assert way[-1].parent_span_id.hex() == ASKER


def test_what_nobody_traces_has_no_spans(traced: tuple[SmallFleet, Receiver]) -> None:
    fleet, collector = traced
    before, after = "1" * 32, "2" * 32
    put(fleet, fleet.url, f"00-{before}-{ASKER}-00")
    put(fleet, fleet.url, f"00-{after}-{ASKER}-01")
    wait_for(lambda: collector.of(after), "what is traced is told")
    assert collector.of(before) == []


def test_a_trace_stands_beside_the_bucket_of_its_request(
    traced: tuple[SmallFleet, Receiver],
) -> None:
    fleet, _ = traced
    traces = {flag: word * 32 for flag, word in (("01", "3"), ("00", "4"))}
    leader = fleet.shard()["leader"]["url"]
    for flag, trace in traces.items():
        put(fleet, leader, f"00-{trace}-{ASKER}-{flag}")
    door = fleet.access.only(leader)
    text = door.send("GET", "/metrics", headers={"Accept": OPEN_METRICS}).body.decode()
    beside = [line for line in text.splitlines() if f'# {{trace_id="{traces["01"]}"}}' in line]
    names = sorted(line.partition("{")[0] for line in beside)
    histograms = ("leadplane_http_request_seconds", "leadplane_request_seconds")
    assert names == [f"{name}_bucket" for name in histograms]
    assert traces["00"] not in text
    assert traces["01"] not in door.send("GET", "/metrics").body.decode()


def test_a_hand_over_is_told_with_its_phases_and_by_the_log(
    traced: tuple[SmallFleet, Receiver],
) -> None:
    fleet, collector = traced
    shard, before = fleet.shard(), fleet.epoch()
    fleet.access.send("POST", f"/v1/shards/{shard['shard']}/transfer", body=b"{}", headers=JSON)
    wait_for(lambda: fleet.epoch() > before, "the shard is led by another")

    epoch = fleet.epoch()

    def look() -> list[Span] | None:
        found = [span for _, span in list(collector.spans)]
        names = {span.name for span in found}
        is_told = any(span.name == "elected" and of(span, "epoch") == epoch for span in found)
        return found if is_told and {"transferred", "standing", "reconciling"} <= names else None

    found = wait_for(look, "the hand-over is told")
    elections = {span.span_id: span for span in found if span.name == "elected"}
    phases = [span for span in found if span.name in ("standing", "reconciling")]
    assert {phase.parent_span_id for phase in phases} & elections.keys()
    traces = {span.trace_id.hex() for span in elections.values()}
    assert traces & set(traces_in_logs(fleet))


JSON = {"Content-Type": "application/json"}


def of(span: Span, name: str) -> int:
    """A number that the span tells."""
    told = {each.key: int(each.value.int_value) for each in span.attributes}
    return told[f"leadplane.{name}"]


def traces_in_logs(fleet: SmallFleet) -> Iterator[str]:
    """Traces that the logs of the nodes name."""
    for log in fleet.logs():
        for line in log.read_text("utf-8").splitlines():
            if " elected " in line:
                yield line.rsplit("trace=", 1)[-1]
