"""A fleet of real processes on test: how to look at it, hurt it, and wait for it to mend."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from controlplane.bench.numbered_writes import NumberedWrites
from controlplane.cli.connection import CommandFailed, FleetAccess
from controlplane.cli.kv import key_path
from controlplane.process_identity import ProcessIdentity, identity_of

MEND_S_MAX = 40.0
WHOLE_S_MAX = 90.0
LOOK_S = 0.05
SHARDS = 13
"""Those of clients and the system shard."""
WRITE_PAUSE_S = 0.01
AT_ONCE = "rollout=all-at-once&final_bake_ms=0"
"""Has an edit in force everywhere as soon as can be."""

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], what: str, seconds: float = MEND_S_MAX) -> Found:
    """Look until there is something; a fleet that cannot be asked just now is asked again."""
    deadline = time.monotonic() + seconds
    problem: object = None
    while time.monotonic() < deadline:
        try:
            found = look()
        except CommandFailed as failure:
            found, problem = None, failure
        if found is not None and found is not False:
            return found
        time.sleep(LOOK_S)
    raise AssertionError(f"{what}: not within {seconds} s (last problem: {problem})")


class FleetOnTest:
    """One fleet, as `leadplane up --detach` left it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._number = 0

    def state(self) -> Mapping[str, Any]:
        """What runs now, as the supervisor says."""
        state: dict[str, Any] = json.loads((self.directory / "fleet.json").read_text("utf-8"))
        return state

    @property
    def access(self) -> FleetAccess:
        """HTTP by way of any node; an election is waited for, as by every command."""
        return self.without()

    def without(self, *nodes: str) -> FleetAccess:
        """The same by way of any node but these."""
        urls = tuple(node["url"] for node in self.state()["nodes"] if node["id"] not in nodes)
        return FleetAccess(urls, election_wait_s=MEND_S_MAX)

    def at(self, node: str) -> FleetAccess:
        """HTTP by way of one node; what it says now is what is asked for."""
        return self.access.only(self.record("nodes", node)["url"])

    def by_way_of(self, node: str) -> FleetAccess:
        """HTTP by way of one node, which waits for an election."""
        return replace(self.at(node), election_wait_s=MEND_S_MAX)

    def record(self, kind: str, name: str) -> Mapping[str, Any]:
        """What the supervisor says of one node or store."""
        found: Mapping[str, Any] = next(r for r in self.state()[kind] if r["id"] == name)
        return found

    def process(self, kind: str, name: str) -> ProcessIdentity:
        """The process that a node or store is now."""

        def look() -> ProcessIdentity | None:
            pid = self.record(kind, name)["pid"]
            return identity_of(pid) if pid else None

        return wait_for(look, f"{name} runs")

    def ttl_ms(self, group: str) -> int:
        """How long a lease of a group lasts."""
        return next(int(g["ttl_ms"]) for g in self.state()["groups"] if g["name"] == group)

    def is_whole(self) -> bool:
        """Every node runs and sees its stores up, all know the same of groups and leaders, and
        every shard's leader says that it leads."""
        led: dict[str, tuple[str, int]] = {}
        leaders, groups = [], []
        for node in self.state()["nodes"]:
            access = self.access.only(node["url"])
            status = access.get("/v1/status")
            if any(store["state"] != "up" for store in status["stores"]):
                return False
            rows = access.items("/v1/shards", limit=1_000)["items"]
            if len(rows) < SHARDS or any(row["leader"] is None for row in rows):
                return False
            seen = {row["shard"]: (row["leader"]["node"], row["epoch"]) for row in rows}
            mine = {row["shard"] for row in rows if row["lease_remaining_ms"] is not None}
            led |= {shard: seen[shard] for shard in mine if seen[shard][0] == node["id"]}
            leaders.append(seen)
            described = access.items("/v1/regions/groups")["items"]
            groups.append({group["group"]: group["version"] for group in described})
        agreed = all(seen == led for seen in leaders) and all(g == groups[0] for g in groups)
        return agreed and len(led) == SHARDS

    def until_whole(self) -> None:
        """Wait until nothing of an earlier test is left to be felt."""
        wait_for(self.is_whole, "the fleet is whole", WHOLE_S_MAX)

    def leader(self, shard: str = "system") -> str:
        """The node that leads a shard, once there is one."""
        row = wait_for(
            lambda: row if (row := self.row(shard))["leader"] else None, f"{shard} is led"
        )
        return str(row["leader"]["node"])

    def shard(self, group: str) -> Mapping[str, Any]:
        """Some led shard of this group, with a partition that belongs to it."""
        for number in range(2_000):
            partition = f"it-{number}"
            route = self.access.get("/v1/route", key=f"{{{partition}}}/k")
            row = self.row(route["shard"])
            if row["group"] == group and row["leader"]:
                return {**row, "partition": partition}
        raise AssertionError(f"no led shard of group {group}")

    def row(self, shard: str) -> dict[str, Any]:
        """A shard, as any node shows it."""
        row: dict[str, Any] = self.access.get(f"/v1/shards/{shard}")
        return row

    def put(self, access: FleetAccess, key: str, value: str) -> int:
        """Write, and give the epoch that acknowledged it. Raises Problem."""
        reply = access.send("PUT", key_path(key), body=value.encode())
        return int(reply.headers["leadplane-epoch"])

    @contextmanager
    def writes(self, shard: Mapping[str, Any], chapter: str) -> Iterator[NumberedWrites]:
        """A client that goes on writing numbers, by way of a node that does not lead the shard."""
        leader = shard["leader"]["node"]
        url = next(n["url"] for n in reversed(self.state()["nodes"]) if n["id"] != leader)
        prefix = f"{{{shard['partition']}}}/{chapter}/"
        with NumberedWrites(str(url), lambda n: f"{prefix}{n:06}", WRITE_PAUSE_S) as writer:
            assert writer.wait_for_number(20, MEND_S_MAX), "writes do not even begin"
            yield writer

    def lost(self, shard: Mapping[str, Any], chapter: str, writer: NumberedWrites) -> set[int]:
        """Acknowledged numbers that a strong scan does not find."""
        prefix = f"{{{shard['partition']}}}/{chapter}/"
        document = wait_for(
            lambda: self.access.items(
                "/v1/kv", partition=shard["partition"], prefix=prefix, limit=1_000
            ),
            "a strong scan",
        )
        stored = {int(item["key"].rsplit("/", 1)[1]) for item in document["items"]}
        return {ack.number for ack in writer.acks} - stored


@contextmanager
def asleep(process: ProcessIdentity) -> Iterator[None]:
    """Stop a process with SIGSTOP; it goes on whatever happens inside."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)
