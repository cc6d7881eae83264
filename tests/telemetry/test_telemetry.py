"""What a node counts, logs and traces of what happens to its leaderships."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from io import StringIO
from itertools import permutations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from controlplane.errors import TraceExporterMissing
from controlplane.machine import Happened
from controlplane.requests import (
    Consistency,
    Evicted,
    Outcome,
    Problem,
    Put,
    Read,
    Refused,
    Request,
    Transfer,
    Write,
    Written,
)
from controlplane.telemetry import lifecycle_log, spans
from controlplane.telemetry.leaderships import GIVEN_UP, STALE_ACCEPTED
from controlplane.telemetry.lifecycle_log import LOGGER, LifecycleLog, set_up_logging
from controlplane.telemetry.loop_lag import watch_loop_lag
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.spans import EventTracer, event_tracer, trace_id_of
from controlplane.telemetry.traffic import LANES
from tests.config.sample_fleet import REGIONS
from tests.telemetry.exposed import samples, shown

ELECTED = Happened("elected", "s1", 7, {"why": "the holder fell silent", "took_ms": 31})
WRITE = Write("s1", (Put("p", "k", b"v"),))


def test_events_and_requests_are_counted() -> None:
    metrics = NodeMetrics()
    answers: list[tuple[Request, Outcome | None]] = [
        (WRITE, Written("s1", 7, 1)),
        (WRITE, Refused(Problem.NOT_LEADER, "elsewhere")),
        (WRITE, None),
        (Read("s1", ("k",), Consistency.BOUNDED), Refused(Problem.STALE, "old")),
        (Transfer("s1", "n2"), Evicted("s1", 7, "n1")),
    ]
    for request, outcome in answers:
        metrics.requests.answered(request, outcome, 0.003)
    metrics.happened(ELECTED)
    metrics.stores.call_sent("a")
    metrics.stores.call_sent("a")
    metrics.stores.lane_lost("a")
    metrics.stores.renewed("ok")
    metrics.stores.renewed("DEAD")
    metrics.loop_was_late(0.2)
    answers_of_a = metrics.stores.answers_of("a")
    answers_of_a(0.003, "OK")
    answers_of_a(0.004, "OOM")
    metrics.requests.routed("forwarded")
    found = samples(metrics)
    expected = {
        ("leadplane_requests_total", "ok", "write"): 1,
        ("leadplane_requests_total", "not-leader", "write"): 1,
        ("leadplane_requests_total", "abandoned", "write"): 1,
        ("leadplane_requests_total", "stale", "read-bounded"): 1,
        ("leadplane_requests_total", "ok", "transfer"): 1,
        ("leadplane_request_seconds_count", "write"): 3,
        ("leadplane_events_total", "elected"): 1,
        ("leadplane_store_calls_total", "a"): 2,
        ("leadplane_store_lanes_lost_total", "a"): 1,
        ("leadplane_store_call_seconds_count", "a"): 2,
        ("leadplane_store_errors_total", "OOM", "a"): 1,
        ("leadplane_routed_total", "forwarded"): 1,
        ("leadplane_renewals_total", "ok"): 1,
        ("leadplane_renewals_total", "DEAD"): 1,
        ("leadplane_event_loop_lag_seconds_count",): 1,
        ("leadplane_stale_operations_accepted_total",): 0,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_the_event_that_must_never_happen_is_seen() -> None:
    metrics = NodeMetrics()
    metrics.happened(Happened(STALE_ACCEPTED, "s1", 7, {}))
    assert samples(metrics)["leadplane_stale_operations_accepted_total",] == 1


def test_the_last_checkpoint_of_the_audit_log_is_shown() -> None:
    metrics = NodeMetrics()
    metrics.happened(Happened("audit-checkpoint", "system", 3, {"sequence": 501, "digest": "aa"}))
    assert b"leadplane_audit_checkpoint 501.0" in metrics.text()


def test_moves_that_were_given_up_are_counted_by_their_reason() -> None:
    metrics = NodeMetrics()
    for why in ("changed", "changed", "not-finished"):
        metrics.happened(Happened(GIVEN_UP, "s1", 0, {"kind": "cost", "why": why}))
    found = samples(metrics)
    assert found["leadplane_moves_given_up_total", "changed"] == 2
    assert found["leadplane_moves_given_up_total", "not-finished"] == 1


def test_the_fleet_is_shown_as_it_is_when_asked() -> None:
    found = samples(shown())
    expected = {
        ("leadplane_shards",): 5,
        ("leadplane_shards_led",): 4,
        ("leadplane_shards_led_here",): 2,
        ("leadplane_map_version",): 3,
        ("leadplane_group_spare_stores", "global"): 1,
        ("leadplane_store_up", "here", "a"): 1,
        ("leadplane_store_up", "there", "b"): 0,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_who_leads_next_tells_how_long_nobody_did() -> None:
    metrics = NodeMetrics()
    lost = {"why": "dead", "cause": "unplanned", "unled_ms": 4_200, "reconciled_ms": 300}
    metrics.happened(Happened("elected", "s1", 7, lost))
    metrics.happened(Happened("elected", "s2", 3, {"why": "handover", "cause": "planned"}))
    metrics.happened(Happened("elected", "s3", 2, {"why": "mine", "cause": "renewed"}))
    metrics.happened(Happened("stuck", "s4", 0, {"why": "a store is away"}))
    found = samples(metrics)
    expected = {
        ("leadplane_leader_changes_total", "unplanned"): 1,
        ("leadplane_leader_changes_total", "planned"): 1,
        ("leadplane_election_seconds_sum", "unplanned"): 4.2,
        ("leadplane_election_seconds_count", "unplanned"): 1,
        ("leadplane_election_seconds_count", "planned"): 0,
        ("leadplane_reconcile_seconds_sum",): 0.3,
        ("leadplane_election_failures_total",): 1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_what_the_node_counted_is_shown_in_seconds() -> None:
    found = samples(shown())
    expected = {
        ("leadplane_leader_shard_seconds_total", "global", "valid"): 90,
        ("leadplane_leader_shard_seconds_total", "global", "none"): 10,
        ("leadplane_leaderless_longest_seconds", "global"): 2.5,
        ("leadplane_renewals_done_total", "global"): 99,
        ("leadplane_lease_remaining_seconds", "global"): 4,
        ("leadplane_takeovers_total",): 8,
        ("leadplane_takeover_errors_total",): 1,
        ("leadplane_follower_lag_seconds", "there", "here"): 0.25,
        ("leadplane_placement_cost_usd_per_month", "bound"): 19,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_bytes_between_regions_are_counted_both_ways_and_priced() -> None:
    metrics = shown()
    assert metrics.traffic.between("here", LANES, "here") is None, "no region pays for itself"
    again, other = (metrics.traffic.between("here", LANES, to) for to in ("there", "far"))
    assert again is not None
    assert other is not None
    again.sent += 100
    other.received += 7
    found = samples(metrics)
    expected = {("here", "there"): 1_000, ("there", "here"): 40, ("far", "here"): 7}
    for (origin, to), count in expected.items():
        assert found["leadplane_region_pair_bytes_total", origin, LANES, to] == count
    prices = {key[1:]: usd for key, usd in found.items() if key[0].endswith("_usd_per_byte")}
    assert prices == dict.fromkeys(permutations(REGIONS, 2), 0.09 / 1e9)
    traffic = "leadplane_placement_traffic_usd_per_month"
    assert (found[traffic, "before"], found[traffic, "after"]) == (6, 3)


def test_no_label_names_a_shard() -> None:
    metrics = NodeMetrics()
    for number in range(50):
        metrics.happened(Happened("elected", f"shard-{number}", 1, {}))
        metrics.requests.answered(Write(f"shard-{number}", ()), None, 0.001)
    assert b"shard-" not in metrics.text()


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the log says, with the root logger as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logging("n1", "info")
    stream = StringIO()
    written = root.handlers[0]
    assert isinstance(written, logging.StreamHandler)
    written.setStream(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    LOGGER.setLevel(logging.NOTSET)


def test_a_line_says_what_happened_and_can_be_taken_apart(log: StringIO) -> None:
    LifecycleLog().happened(ELECTED)
    assert log.getvalue().endswith(
        'Z INFO  n1 elected shard=s1 epoch=7 why="the holder fell silent" took_ms=31\n'
    )


def test_what_needs_a_look_is_a_warning_and_what_is_routine_is_not_told(log: StringIO) -> None:
    LifecycleLog().happened(Happened("renewed", "s1", 7, {}))
    LifecycleLog().happened(Happened("fenced", "s1", 7, {"said": 'a "quote"\nand a line'}))
    lines = log.getvalue().splitlines()
    assert len(lines) == 1
    assert 'WARN  n1 fenced shard=s1 epoch=7 said="a \\"quote\\"\\nand a line"' in lines[0]


def test_so_many_lines_of_a_kind_are_written_a_second_and_the_others_counted(
    log: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [5.0]
    monkeypatch.setattr(lifecycle_log.time, "monotonic", lambda: seconds[0])
    written = LifecycleLog(lines_a_second=2)
    for number in range(5):
        written.happened(Happened("stuck", f"s{number}", 0, {}))
    written.happened(ELECTED)
    seconds[0] = 6.1
    written.happened(Happened("stuck", "s9", 0, {}))
    written.tell_left_out()
    assert [line.split("n1 ")[1].split(" epoch")[0] for line in log.getvalue().splitlines()] == [
        "stuck shard=s0", "stuck shard=s1", "elected shard=s1", "left-out of=stuck lines=3",
        "stuck shard=s9",
    ]  # fmt: skip


def test_a_span_says_what_happened_and_how_long_it_took() -> None:
    exporter = InMemorySpanExporter()
    tracer = EventTracer(exporter, "n1", "here")
    tracer.happened(ELECTED)
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert span.name == "elected"
    assert dict(span.attributes or {}) == {
        "leadplane.shard": "s1",
        "leadplane.epoch": 7,
        "leadplane.why": "the holder fell silent",
        "leadplane.took_ms": 31,
    }
    assert span.start_time is not None
    assert span.end_time == span.start_time + 31_000_000


def test_all_of_one_term_is_one_trace_at_every_node_and_the_log_names_it(log: StringIO) -> None:
    exporter = InMemorySpanExporter()
    over = Happened("resigned", "s1", 7, {"why": "expired"})
    for node, event in (("n1", ELECTED), ("n2", over)):
        tracer = EventTracer(exporter, node, "here")
        tracer.happened(event)
        tracer.close()
    traces = {f"{span.context.trace_id:032x}" for span in exporter.get_finished_spans()}
    LifecycleLog(trace_of=trace_id_of).happened(over)
    assert traces == {log.getvalue().strip().rsplit("trace=", 1)[1]}
    next_term = Happened("elected", "s1", 8, {})
    of_rollout = [Happened("rollout", "system", 0, {"rollout": each}) for each in ("7", "8")]
    others = {trace_id_of(each) for each in (next_term, *of_rollout)}
    assert len(others | traces) == 4
    assert trace_id_of(Happened("drain", "system", 0, {})) is None


def test_an_election_is_told_with_its_phases_and_trouble_as_an_error() -> None:
    exporter = InMemorySpanExporter()
    tracer = EventTracer(exporter, "n1", "here")
    tracer.happened(Happened("elected", "s1", 7, {"took_ms": 50, "reconciled_ms": 20}))
    tracer.happened(Happened("stuck", "s1", 0, {"why": "nobody answers"}))
    tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    lasted = {name: (span.end_time or 0) - (span.start_time or 0) for name, span in spans.items()}
    assert {name: ns // 1_000_000 for name, ns in lasted.items()} == {
        "elected": 50, "standing": 30, "reconciling": 20, "stuck": 0,
    }  # fmt: skip
    assert spans["stuck"].status.description == "nobody answers"
    assert spans["elected"].status.is_ok


def test_without_an_exporter_there_is_no_tracer() -> None:
    assert event_tracer("none", "n1", "here") is None


def test_an_exporter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_OTLP_MODULE", "opentelemetry.no_such_exporter")
    with pytest.raises(TraceExporterMissing, match="otlp"):
        event_tracer("otlp", "n1", "here")


async def test_a_blocked_loop_is_noticed() -> None:
    late: list[float] = []
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(watch_loop_lag(late.append, every_s=0.01))
        await asyncio.sleep(0)
        until = loop.time() + 0.05
        while loop.time() < until:
            continue  # the loop does nothing else meanwhile
        async with asyncio.timeout(20):
            while not late:  # noqa: ASYNC110 - it reports by a call
                await asyncio.sleep(0)
        watch.cancel()
    assert late[0] >= 0.03
