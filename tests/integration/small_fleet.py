"""One region, three stores, one node: the smallest whole fleet, whose stores a test can squeeze."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import redis

from controlplane.bench.bench_fleet import one_region_topology
from controlplane.cli.connection import FleetAccess, Problem
from controlplane.cli.kv import key_path
from controlplane.process_identity import ProcessIdentity, identity_of
from tests.integration.fleet_on_test import MEND_S_MAX, wait_for

LEADPLANE = (sys.executable, "-m", "controlplane.cli.main")
UP_S_MAX = 120
PARTITION = "room"
APPLIED, BASE, BYTES = 6, 9, 11  # places in a shard's line of bounds, see docs/STORE_FORMAT.md
HASHES, SETS = ("kv", "id", "hi"), ("ix", "iq")


class SmallFleet:
    """What a test may do to it, and see of it. All keys belong to one shard."""

    def __init__(self, announced: Mapping[str, Any], admins: Mapping[str, redis.Redis]) -> None:
        self.urls = tuple(str(node["url"]) for node in announced["nodes"])
        self.access = FleetAccess(self.urls[:1], election_wait_s=MEND_S_MAX)
        self.admins = admins
        self._directory = Path(announced["dir"])
        self._stores: dict[str, int] = {s["id"]: s["pid"] for s in announced["stores"]}

    def logs(self) -> list[Path]:
        """What the nodes have written."""
        return sorted(self._directory.glob("nodes/*.log"))

    def put(self, name: str, value: bytes) -> None:
        """Write one key. Raises Problem."""
        self.access.send("PUT", key_of(name), body=value)

    def get(self, name: str) -> bytes:
        """Read one key at its leader. Raises Problem."""
        return self.access.send("GET", key_of(name)).body

    @property
    def url(self) -> str:
        """Where the node listens."""
        return self.access.urls[0]

    def delete(self, name: str) -> None:
        """Delete one key. Raises Problem."""
        self.access.send("DELETE", key_of(name))

    def names(self, **how: Any) -> set[str]:
        """Keys that a scan finds."""
        found = self.access.items("/v1/kv", partition=PARTITION, limit=1_000, **how)
        return {item["key"].split("}/", 1)[1] for item in found["items"]}

    def fill(self, prefix: str, value: bytes, puts_max: int) -> tuple[set[str], Problem]:
        """Write new keys until one is refused: those acknowledged, and why the next one was not."""
        acknowledged: set[str] = set()
        for number in range(puts_max):
            name = f"{prefix}-{number:05}"
            try:
                self.put(name, value)
            except Problem as problem:
                return acknowledged, problem
            acknowledged.add(name)
        raise AssertionError(f"{puts_max} writes, and none was refused")

    def is_written(self, name: str, value: bytes) -> bool:
        """Try a write that may be refused for want of room, and for nothing else."""
        try:
            self.put(name, value)
        except Problem as problem:
            if problem.kind != "store-full":
                raise
            return False
        return True

    def epoch(self) -> int:
        """Of that shard."""
        return int(self.shard()["epoch"])

    def shard(self) -> dict[str, Any]:
        """The shard that holds the keys."""
        name = self.access.get("/v1/route", key=f"{{{PARTITION}}}/k")["shard"]
        row: dict[str, Any] = self.access.get(f"/v1/shards/{name}")
        return row

    def said_of_stores(self) -> dict[str, tuple[str, str]]:
        """State and reason of each store, as the node shows them."""
        stores = self.access.get("/v1/status")["stores"]
        return {store["store"]: (store["state"], store["why"]) for store in stores}

    def limit_memory(self, bytes_max: Mapping[str, int]) -> None:
        """What stores may use from now on, 0 for as much as they like; the node knows when this
        returns."""
        for store in bytes_max:
            wait_for(partial(self._is_looked_at, store), f"{store} is looked at")
        before = {store: self._limit_seen(store) for store in bytes_max}
        for store, limit in bytes_max.items():
            if int(self.admins[store].config_get("maxmemory")["maxmemory"]) == limit:
                del before[store]
            self.admins[store].config_set("maxmemory", limit)
        for store, seen in before.items():
            wait_for(
                partial(self._sees_another_limit, store, seen), f"the limit of {store} is seen"
            )

    def _limits_seen(self, store: str) -> list[float]:
        text = self.access.send("GET", "/metrics").body.decode()
        name = f'leadplane_store_memory_max_bytes{{store="{store}"}} '
        return [float(line[len(name) :]) for line in text.splitlines() if line.startswith(name)]

    def _is_looked_at(self, store: str) -> bool:
        return bool(self._limits_seen(store))

    def _limit_seen(self, store: str) -> float:
        return self._limits_seen(store)[0]

    def _sees_another_limit(self, store: str, seen: float) -> bool:
        return self._limit_seen(store) != seen

    def used_memory(self, store: str) -> int:
        """What the store uses."""
        return int(self.admins[store].info("memory")["used_memory"])

    def has_caught_up(self) -> bool:
        """Whether all stores hold as much of the keys' shard, applied."""
        shard = self.shard()
        key = f"lp:g:{shard['group']}:sh:{shard['shard']}"
        logs = [admin.hget(key, "log").split() for admin in self.admins.values()]
        return len({(log[APPLIED], log[BYTES]) for log in logs}) == 1

    def record(self, store: str) -> dict[str, int]:
        """How far the keys' shard is at a store: applied, log base, pages of which attempt."""
        shard = self.shard()
        key = f"lp:g:{shard['group']}:sh:{shard['shard']}"
        log, staged = self.admins[store].hmget(key, "log", "sn")
        bounds = log.split()
        return {"ap": int(bounds[APPLIED]), "bs": int(bounds[BASE]), "sn": int(staged or 0)}

    def contents(self, store: str) -> dict[str, str]:
        """Digests of all that a store has applied of the keys' shard, by kind of key."""
        shard, admin = self.shard(), self.admins[store]
        keys = {p: f"lp:g:{shard['group']}:{p}:{shard['shard']}" for p in (*HASHES, *SETS)}
        held: dict[str, Any] = {part: sorted(admin.hgetall(keys[part]).items()) for part in HASHES}
        held |= {part: admin.zrange(keys[part], 0, -1, withscores=True) for part in SETS}
        digests = {part: sha256(repr(each).encode()).hexdigest() for part, each in held.items()}
        return {"ap": str(self.record(store)["ap"]), **digests}

    def staged(self, store: str) -> list[bytes]:
        """Keys of snapshots that are staged at a store."""
        return list(self.admins[store].scan_iter("lp:stage:*", count=1_000))

    def process(self, store: str) -> ProcessIdentity:
        """The process that a store was started as."""
        found = identity_of(self._stores[store])
        assert found is not None, f"{store} has died"
        return found

    def copies_begun(self) -> int:
        """How often the node has begun to copy to a store."""
        text = self.access.send("GET", "/metrics").body.decode()
        name = 'leadplane_events_total{kind="catching-up"} '
        return sum(int(float(x[len(name) :])) for x in text.splitlines() if x.startswith(name))

    def none_has_died(self) -> bool:
        """Whether all stores are the processes that were started."""
        return all(identity_of(pid) is not None for pid in self._stores.values())


def key_of(name: str) -> str:
    """The path of a key."""
    return key_path(f"{{{PARTITION}}}/{name}")


@contextmanager
def small_fleet(
    directory: Path, settings: Mapping[str, str] | None = None, nodes: int = 1
) -> Iterator[SmallFleet]:
    """Run one in this directory; `settings` are variables for its nodes."""
    directory.mkdir(parents=True, exist_ok=True)
    regions = directory / "regions.yaml"
    regions.write_text(one_region_topology(nodes))
    place = ["--dir", str(directory / "fleet")]
    words = ["up", *place, "--regions", str(regions), "--shards", "1", "--detach", "-o", "json"]
    with ExitStack() as stack:
        stack.callback(
            subprocess.run, [*LEADPLANE, "down", *place], capture_output=True, timeout=UP_S_MAX
        )
        up = subprocess.run(
            [*LEADPLANE, *words],
            capture_output=True,
            text=True,
            timeout=UP_S_MAX,
            check=False,
            env=os.environ | (settings or {}),
        )
        assert up.returncode == 0, up.stderr
        announced = json.loads(up.stdout)
        admins = {
            store["id"]: stack.enter_context(redis.Redis(port=store["port"], socket_timeout=20))
            for store in announced["stores"]
        }
        fleet = SmallFleet(announced, admins)
        wait_for(lambda: fleet.is_written("first", b"v"), "the first write")
        yield fleet
