"""Benchmarks `writes` and `http-writes`: durable writes beside three members of etcd.

Both sides have three stores on this machine, flush to disk before they acknowledge, and are asked
by as many clients, each with one request under way. Ours is measured twice: at the node (the
request is put to the node's driver in its own process) and over HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Measure, Tell, alternate, runs_of, typical
from controlplane.bench.etcd_cluster import EtcdCluster
from controlplane.bench.load import LoadResult, LoadSpec, run_load
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import ratio

CLIENTS = (1, 16, 256)
OURS, THEIRS = "leadplane", "etcd"
KV_PATH = "/v1/kv/{key}"
NODE_THROUGHPUT_MIN = 3.0
HTTP_THROUGHPUT_MIN = 1.0


def etcd_puts(cluster: EtcdCluster, clients: int, seconds: float) -> LoadResult:
    """Puts to the leader of etcd, through its own API."""
    spec = LoadSpec("etcd-put", "127.0.0.1", cluster.port, clients, measured_s=seconds)
    return run_load(spec)


def http_puts(fleet: BenchFleet, clients: int, seconds: float) -> LoadResult:
    """PUT /v1/kv to the one node of the fleet."""
    node = urlsplit(str(fleet.nodes[0]["url"]))
    host, port = node.hostname or "127.0.0.1", node.port or 80
    return run_load(LoadSpec("http-put", host, port, clients, measured_s=seconds, path=KV_PATH))


def measure_http_writes(
    fleet: BenchFleet, cluster: EtcdCluster, rounds: int, seconds: float, tell: Tell
) -> Findings:
    """Durable writes over HTTP beside etcd."""
    results = {
        clients: alternate(
            (
                (OURS, partial(http_puts, fleet, clients, seconds)),
                (THEIRS, partial(etcd_puts, cluster, clients, seconds)),
            ),
            rounds,
            tell,
        )
        for clients in CLIENTS
    }
    figures: list[Figure] = []
    for clients, each in results.items():
        we, they = typical(each[OURS]), typical(each[THEIRS])
        rate, p50, p99 = _figures(clients, we, they)
        enough = (rate.ratio or 0.0) >= HTTP_THROUGHPUT_MIN
        figures += (replace(rate, target="at least etcd's", reached=enough), p50, p99)
    return Findings(
        "http-writes",
        f"etcd {cluster.version}",
        _method("PUT /v1/kv/{key} over HTTP/1.1, one node", cluster, rounds, seconds),
        tuple(figures),
        _all_runs(results),
    )


def measure_node_writes(
    at_node: Mapping[int, Measure],
    cluster: EtcdCluster,
    rounds: int,
    seconds: float,
    tell: Tell,
) -> Findings:
    """Durable writes at the node beside etcd; `at_node` measures ours, by number of clients."""
    results = {
        clients: alternate(
            ((OURS, at_node[clients]), (THEIRS, partial(etcd_puts, cluster, clients, seconds))),
            rounds,
            tell,
        )
        for clients in CLIENTS
    }
    figures: list[Figure] = []
    for clients, each in results.items():
        we, they = typical(each[OURS]), typical(each[THEIRS])
        rate, p50, p99 = _figures(clients, we, they)
        if clients == max(CLIENTS):
            enough = (rate.ratio or 0.0) >= NODE_THROUGHPUT_MIN
            target = f"at least {NODE_THROUGHPUT_MIN:g} times etcd's"
            rate = replace(rate, target=target, reached=enough)
        if clients == min(CLIENTS):
            no_worse = p50.ours <= (p50.peer or 0.0)
            p50 = replace(p50, target="at most etcd's", reached=no_worse)
        figures += (rate, p50, p99)
    return Findings(
        "writes",
        f"etcd {cluster.version}",
        _method("requests put to the node's driver in its own process", cluster, rounds, seconds),
        tuple(figures),
        _all_runs(results),
    )


def _figures(clients: int, we: LoadResult, they: LoadResult) -> list[Figure]:
    """Throughput, p50 and p99 of the same number of clients, without targets."""
    who = f"{clients} client{'s' if clients > 1 else ''}"
    ours, theirs = we.latency, they.latency
    return [
        Figure(
            f"writes, {who}",
            we.per_second,
            "/s",
            they.per_second,
            ratio(we.per_second, they.per_second),
        ),
        Figure(f"p50, {who}", ours.p50_ms, "ms", theirs.p50_ms, ratio(ours.p50_ms, theirs.p50_ms)),
        Figure(f"p99, {who}", ours.p99_ms, "ms", theirs.p99_ms, ratio(ours.p99_ms, theirs.p99_ms)),
    ]


def _method(ours: str, cluster: EtcdCluster, rounds: int, seconds: float) -> str:
    return (
        "Values of 100 bytes over 10,000 keys, three stores, fsync before every acknowledgement. "
        f"Ours: {ours}, one region with three Valkey stores. Peer: etcd {cluster.version}, three "
        "members, KV.Put over gRPC to its leader, from a client that writes prepared HTTP/2 frames "
        "(cheaper than any gRPC library, so that the client takes nothing from the peer). "
        f"{rounds} rounds of {seconds:g} s each, alternating; the middle round counts."
    )


def _all_runs(
    results: Mapping[int, dict[str, list[LoadResult]]],
) -> tuple[dict[str, object], ...]:
    return tuple(run for each in results.values() for run in runs_of(each))
