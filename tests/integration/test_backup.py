"""A fleet is backed up while it is written, and restored as another one, which knows none of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controlplane.backup.archive import open_backup
from controlplane.backup.manifest import Manifest
from controlplane.bench.numbered_writes import Ack
from controlplane.cli.connection import FleetAccess, Problem
from controlplane.cli.kv import key_path
from controlplane.store_lanes import lane_maker
from regions.codec import FORMAT, Code
from regions.conversation import conversation
from regions.topology import Topology
from regions.topology_file import load_topology
from tests.integration.fleet_on_test import AT_ONCE, MEND_S_MAX, FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

LEADPLANE = (sys.executable, "-m", "controlplane.cli.main")
UP_S_MAX = 180
TRIES = 3
PAUSE_MS_MAX = 5_000
"""What nobody may wait for beside a backup, in one of a few tries: many tests share a machine."""


def command(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line; it must end with this status."""
    done = subprocess.run(
        [*LEADPLANE, *words], capture_output=True, text=True, timeout=UP_S_MAX, check=False
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


@contextmanager
def restored(backup: Path, directory: Path) -> Iterator[FleetAccess]:
    """A fleet that began as that file says."""
    place = ["--dir", str(directory)]
    try:
        up = command(
            "up", *place, "--restore", str(backup), "--base-port", "0", "--detach", "-o", "json"
        )
        urls = tuple(node["url"] for node in json.loads(up.stdout)["nodes"])
        yield FleetAccess(urls, election_wait_s=MEND_S_MAX)
    finally:
        subprocess.run(
            [*LEADPLANE, "down", *place], capture_output=True, timeout=UP_S_MAX, check=False
        )


def numbers_of(access: FleetAccess, partition: str, chapter: str) -> dict[int, int]:
    """Numbers that a strong scan finds, and the position that each was written at."""
    prefix = f"{{{partition}}}/{chapter}/"
    found = access.items("/v1/kv", partition=partition, prefix=prefix, limit=1_000)
    return {int(item["key"].rsplit("/", 1)[1]): item["version"] for item in found["items"]}


def applied(access: FleetAccess, shard: Mapping[str, Any]) -> int | None:
    """Which version of the document a region runs."""
    page = access.get("/v1/config/backed-up/effective", region=shard["leader"]["region"])
    return page["applied"]["version"] if page["applied"] else None


def described(access: FleetAccess) -> dict[str, dict[str, Any]]:
    groups = access.items("/v1/regions/groups")["items"]
    return {group["group"]: group for group in groups}


async def says(topology: Topology, store: str, incarnation: str, command: list[Any]) -> str:
    """What a store answers to somebody who takes it for that incarnation."""
    site = next(site for site in topology.stores if site.id == store)
    async with conversation(lane_maker(site.listens_at, {})) as talk:
        reply = await talk.call([FORMAT, incarnation, "", 0], [command])
        return str(reply.results[0][0] if reply.code == Code.OK else reply.code)


async def identities(topology: Topology) -> dict[str, tuple[str, dict[str, int]]]:
    """Of every store its incarnation, and the version of each of its groups."""
    found = {}
    for site in topology.stores:
        async with conversation(lane_maker(site.listens_at, {})) as talk:
            versions = {name: version for name, version, _ in talk.status.groups}
            found[site.id] = (talk.status.identity.incarnation, versions)
    return found


def check_old_nodes_are_refused(before: Topology, after: Topology) -> None:
    """Neither an old identity nor an old version, nor a session of before, is taken."""
    old, new = asyncio.run(identities(before)), asyncio.run(identities(after))
    assert old.keys() == new.keys()
    for store, (incarnation, versions) in new.items():
        old_incarnation, old_versions = old[store]
        assert versions
        assert versions.keys() <= old_versions.keys(), "some had left a group before"
        hello = asyncio.run(says(after, store, old_incarnation, ["hello", "", 0]))
        assert hello == Code.WRONG_INCARNATION
        for group, version in versions.items():
            assert version >= old_versions[group] + 1_000
            observe = ["observe", group, old_versions[group], 0, 1]
            assert asyncio.run(says(after, store, incarnation, observe)) == Code.OLD_VERSION


def check_sessions_are_refused(access: FleetAccess, old_token: str, key: str) -> None:
    with pytest.raises(Problem, match="before it was restored") as refused:
        access.send("GET", key_path(key), query={"consistency": "session", "position": old_token})
    assert refused.value.kind == "invalid"
    new_token = access.send("PUT", key_path(key), body=b"after").headers["leadplane-position"]
    assert new_token != old_token
    for node in access.urls:
        found = wait_for(
            lambda at=node: access.only(at).send(
                "GET", key_path(key), query={"consistency": "session", "position": new_token}
            ),
            "a read of the new session",
        )
        assert found.body == b"after"


def check_shard(
    access: FleetAccess, manifest: Manifest, partition: str, shard: str, acks: list[Ack],
    began: int,
) -> None:  # fmt: skip
    """All that was acknowledged before the backup began is there, and nothing beyond it."""
    kept = next(each for each in manifest.shards if each.shard == shard)
    found = numbers_of(access, partition, "backup")
    assert set(range(1, began + 1)) <= found.keys()
    assert found.keys() == set(range(1, len(found) + 1))
    assert max(found.values()) <= kept.position[1]
    assert len(found) <= len(acks) + 1
    wait_for(lambda: access.get(f"/v1/shards/{shard}")["epoch"] > 1_000_000_000, "it is led anew")


def test_what_was_acknowledged_before_is_there_and_nothing_beyond(
    fleet: FleetOnTest, tmp_path: Path
) -> None:
    wide, near = fleet.shard("global"), fleet.shard("region/us-east-1")
    place = str(fleet.directory)
    edit = json.dumps({"content": {"of": "a backup"}}).encode()
    headers = {"Content-Type": "application/json", "If-None-Match": "*"}
    fleet.access.send("PUT", f"/v1/config/backed-up?{AT_ONCE}", headers=headers, body=edit)
    in_force = wait_for(lambda: applied(fleet.access, wide), "the document is in force")
    key = f"{{{wide['partition']}}}/session"
    with fleet.writes(wide, "backup") as first, fleet.writes(near, "backup") as second:
        for number in range(TRIES):
            file = tmp_path / f"fleet-{number}.leadplane"
            began = [len(writer.acks) for writer in (first, second)]
            began_s = first.acks[-1].at_s
            made = command("backup", str(file), "--dir", place, "-o", "json")
            pause_ms = max(writer.longest_gap_ms(began_s) for writer in (first, second))
            if pause_ms < PAUSE_MS_MAX:
                break
        went_on = len(first.acks) + 5
        assert first.wait_for_number(went_on, MEND_S_MAX)
        token = fleet.access.send("PUT", key_path(key), body=b"old").headers["leadplane-position"]
    assert pause_ms < PAUSE_MS_MAX
    count = len(json.loads(made.stdout)["shards"])
    assert f"{count} of {count} shards saved" in made.stderr
    assert "is there already" in command("backup", str(file), "--dir", place, code=1).stderr
    checked = json.loads(command("restore", str(file), "--check", "-o", "json").stdout)
    assert (checked["whole"], len(checked["shards"])) == (True, count)
    with open_backup(file) as backup:
        manifest = backup.manifest
    before = load_topology(fleet.directory / "topology.yaml")
    with restored(file, tmp_path / "new") as access:
        for number, (row, writer) in enumerate(((wide, first), (near, second))):
            check_shard(
                access, manifest, row["partition"], row["shard"], writer.acks, began[number]
            )
        assert access.get("/v1/config/backed-up")["content"] == {"of": "a backup"}
        assert wait_for(lambda: applied(access, wide), "it is in force there") == in_force
        assert access.get("/v1/audit/verify")["valid"]
        after = load_topology(tmp_path / "new" / "topology.yaml")
        check_old_nodes_are_refused(before, after)
        check_sessions_are_refused(access, token, key)
        refused = command("restore", str(file), "--regions", str(after_path(tmp_path)), code=1)
        assert "not empty" in refused.stderr
        wait_for(
            lambda: described(access).keys() == described(fleet.access).keys(),
            "the same groups are known",
        )


def after_path(folder: Path) -> Path:
    return folder / "new" / "topology.yaml"
