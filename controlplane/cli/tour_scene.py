"""What the tour works on: a fleet of this machine, one key's shard in it, and its processes."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from controlplane.bench.numbered_writes import NumberedWrites
from controlplane.cli.connection import CommandFailed, FleetAccess, Reply, local_fleet
from controlplane.cli.kv import key_path
from controlplane.process_identity import ProcessIdentity, identity_of

GROUP = "global"
PARTITIONS_MAX = 2_000
POLL_S = 0.05
SETTLE_S_MAX = 60.0
PAGE = 1_000
WRITE_PAUSE_S = 0.01

Found = TypeVar("Found")


@dataclass
class Scene:
    """The fleet and the shard that the tour is about."""

    folder: Path
    access: FleetAccess
    partition: str
    shard: str
    acked: dict[str, set[int]] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """A key of the tour's partition."""
        return f"{{{self.partition}}}/{name}"

    def state(self) -> dict[str, Any]:
        """What runs now, with the pids of now."""
        return local_fleet(self.folder)

    def node(self, node: str) -> Mapping[str, Any]:
        """A node's record: id, region, url, pid."""
        found: Mapping[str, Any] = next(n for n in self.state()["nodes"] if n["id"] == node)
        return found

    def at(self, node: str) -> FleetAccess:
        """HTTP access to one node alone."""
        return self.access.only(str(self.node(node)["url"]))

    def route(self, access: FleetAccess | None = None) -> dict[str, Any]:
        """Where the tour's keys go, as this access says."""
        route: dict[str, Any] = (access or self.access).get("/v1/route", key=self.key("greeting"))
        return route

    def row(self) -> dict[str, Any]:
        """The shard as the fleet shows it."""
        row: dict[str, Any] = self.access.get(f"/v1/shards/{self.shard}")
        return row

    def group(self) -> Mapping[str, Any]:
        """The shard's group: name, stores, ttl_ms."""
        name = self.row()["group"]
        found: Mapping[str, Any] = next(g for g in self.state()["groups"] if g["name"] == name)
        return found

    def leader_of(self, epoch: int) -> str:
        """Who led at this epoch, as the shard's own history says."""
        records = self.access.items(f"/v1/shards/{self.shard}/history")["items"]
        return next((str(r["node"]) for r in records if r["epoch"] == epoch), "nobody")

    def settled_leader(self) -> dict[str, Any]:
        """Wait until every node renews and agrees on who leads the shard; give the route."""

        def look() -> dict[str, Any] | None:
            route = self.route()
            status = self.access.get("/v1/status")
            alive = all(node["alive"] for node in status["nodes"])
            led = status["shards_led"] == status["shards_total"]
            leader = route["leader"]
            if not (alive and led and leader):
                return None
            epochs = {self.route(self.access.only(n["url"]))["epoch"] for n in status["nodes"]}
            return route if epochs == {route["epoch"]} else None

        return self.wait_for(look, "the fleet did not settle", also_unreachable=True)

    def wait_for(
        self, look: Callable[[], Found | None], complaint: str, also_unreachable: bool = False
    ) -> Found:
        """Look again until there is something. Raises CommandFailed when there never is."""
        deadline = time.monotonic() + SETTLE_S_MAX
        while True:
            try:
                found = look()
            except CommandFailed:
                if not also_unreachable or time.monotonic() > deadline:
                    raise
                found = None
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise CommandFailed(f"{complaint} within {SETTLE_S_MAX:.0f} s")
            time.sleep(POLL_S)

    @contextmanager
    def writes(self, chapter: str, leader: Mapping[str, Any]) -> Iterator[NumberedWrites]:
        """Write numbers by way of a node far from the leader, and remember what was acked."""
        nodes = [n for n in self.state()["nodes"] if n["id"] != leader["node"]]
        far = [n for n in nodes if n["region"] != leader["region"]]
        by_way_of = (far or nodes)[-1]["url"]
        writer = NumberedWrites(
            str(by_way_of), lambda number: self.key(f"{chapter}/{number:06}"), WRITE_PAUSE_S
        )
        with writer as running:
            yield running
        self.acked[chapter] = {ack.number for ack in running.acks}

    def lost(self, chapter: str) -> set[int]:
        """Acknowledged numbers of a chapter that a strong read does not find."""
        return self.acked[chapter] - self.stored(chapter)

    def stored(self, chapter: str) -> set[int]:
        """The numbers that a strong scan finds."""
        prefix = self.key(f"{chapter}/")
        document = self.access.items(
            "/v1/kv",
            partition=self.partition,
            prefix=prefix,
            limit=PAGE,
            consistency="strong",
        )
        return {int(item["key"].rsplit("/", 1)[1]) for item in document["items"]}

    def put(self, name: str, value: str, access: FleetAccess | None = None) -> Reply:
        """Store one value."""
        return (access or self.access).send(
            "PUT", key_path(self.key(name)), headers={}, body=value.encode()
        )


def process_of(record: Mapping[str, Any]) -> ProcessIdentity:
    """The running process of a node or a store. Raises CommandFailed when it does not run."""
    found = identity_of(int(record["pid"])) if record["pid"] else None
    if found is None:
        raise CommandFailed(f"{record['id']} does not run (pid {record['pid']})")
    return found


@contextmanager
def asleep(process: ProcessIdentity) -> Iterator[None]:
    """Stop a process with SIGSTOP; it goes on whatever happens inside."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


def open_scene(folder: Path, access: FleetAccess) -> Scene:
    """Choose a partition whose shard survives the loss of a region and is led."""
    for _ in range(PARTITIONS_MAX):
        partition = f"tour-{secrets.token_hex(2)}"
        route = access.get("/v1/route", key=f"{{{partition}}}/greeting")
        row = access.get(f"/v1/shards/{route['shard']}")
        if row["group"] == GROUP and row["leader"]:
            return Scene(folder, access, partition, str(route["shard"]))
    raise CommandFailed(
        f"no shard of group {GROUP} is led", hint="start a fleet with more shards: leadplane up"
    )
