"""The quiet chapters of the tour: where a key lives, a write, reads nearby, a transfer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from controlplane.cli.connection import Reply
from controlplane.cli.kv import key_path, provenance
from controlplane.cli.tour_scene import Scene
from controlplane.cli.tour_stores import ask_stores
from controlplane.cli.tour_story import Story, count, ms
from shards.keyspace import SLOTS, key_slot

VALUE = "hello, world"
CHANGE_S_MAX = 60.0


def where_it_lives(scene: Scene, story: Story) -> None:
    """From a key to its shard, its group and its leader; and every node says the same."""
    story.chapter("Where a key lives, and why")
    key, row, group = scene.key("greeting"), scene.row(), scene.group()
    leader = scene.settled_leader()["leader"]
    story.say(
        f"Take the key {key}. The part in braces is hashed, to slot {key_slot(key):,}",
        f"of {SLOTS:,}.",
        f"Slots {row['first_slot']:,} to {row['end_slot'] - 1:,} are shard {row['shard']}.",
    )
    story.say(
        f"Group {group['name']} decides about it: {count(len(group['stores']), 'store')},",
        f"one in each region, so it survives the loss of a {row['goal']}.",
        f"Node {leader['node']} leads it, since epoch {leader['epoch']}: the shard prefers regions",
        f"in the order {', '.join(row['regions'])}.",
        f"The lease lasts {group['ttl_ms']:,} ms and is renewed all the time.",
    )
    story.say("We ask every node who leads it:")
    rows, answers = [], set()
    for node in scene.state()["nodes"]:
        started = time.perf_counter()
        route = scene.route(scene.access.only(str(node["url"])))
        took = ms((time.perf_counter() - started) * 1000)
        says = (route["leader"] or {}).get("node", "nobody")
        answers.add((says, route["epoch"]))
        rows.append((node["id"], says, route["epoch"], took))
    story.table(("asked", "says", "epoch", "in"), rows)
    story.verdict(len(answers) == 1, f"all {count(len(rows), 'node')} name one leader, one epoch")


def a_write(scene: Scene, story: Story) -> Reply:
    """A write by way of another region, and what each store itself says of it."""
    story.chapter("A write, on a majority before it is acknowledged")
    leader = scene.route()["leader"]
    far = [n for n in scene.state()["nodes"] if n["region"] != leader["region"]][-1]
    started = time.perf_counter()
    reply = scene.put("greeting", VALUE, scene.at(str(far["id"])))
    took = (time.perf_counter() - started) * 1000
    facts = provenance(reply)
    story.say(
        f"We send it to {far['id']}, which does not lead the shard and passes it on to",
        f"{leader['node']}. Acknowledged after {ms(took)}: epoch {facts['epoch']},",
        f"version {facts['version']}. Now we ask the stores themselves, which changes nothing:",
    )
    group = scene.group()
    sights = ask_stores(scene, facts["version"])
    rows = [
        (
            sight.store,
            sight.region,
            sight.promised_epoch,
            sight.entry_epoch or "-",
            "yes" if sight.holds(facts["epoch"]) else "not yet",
        )
        for sight in sights
    ]
    story.table(
        ("store", "region", "promised epoch", f"epoch of entry {facts['version']}", "holds it"),
        rows,
    )
    holders = sum(sight.holds(facts["epoch"]) for sight in sights)
    quorum = len(group["stores"]) // 2 + 1
    story.verdict(
        holders >= quorum,
        f"{holders} of {count(len(sights), 'store')} hold the write; {quorum} are a majority",
    )
    return reply


def read_everywhere(scene: Scene, story: Story, written: Reply) -> None:
    """The same key in each region, from that region's own store."""
    story.chapter("The same key, read in each region")
    position = provenance(written)["position"]
    story.say(
        "Each region reads from its own store. With the position that the write returned, no",
        "answer may be from before it; each says how old it can be at most.",
    )
    regions: dict[str, Mapping[str, Any]] = {}
    for node in scene.state()["nodes"]:
        regions.setdefault(node["region"], node)
    rows, right = [], 0
    for region, node in regions.items():
        started = time.perf_counter()
        reply = scene.at(str(node["id"])).send(
            "GET",
            key_path(scene.key("greeting")),
            query={"consistency": "session", "position": position},
        )
        took = ms((time.perf_counter() - started) * 1000)
        facts = provenance(reply)
        age = facts["staleness_ms"]
        shown = f"at most {age} ms" if isinstance(age, int) else "unknown"
        value = reply.body.decode()
        right += value == VALUE
        rows.append((region, facts["served_by"], facts["role"], shown, took, value))
    story.table(("region", "served by", "as", "age", "in", "value"), rows)
    story.verdict(right == len(rows), f"{right} of {count(len(rows), 'region')} read the write")


def _neighbour(scene: Scene, leader: Mapping[str, Any]) -> Mapping[str, Any]:
    """Another node of the leader's region, or of any."""
    nodes: list[Mapping[str, Any]] = scene.state()["nodes"]
    others = [n for n in nodes if n["id"] != leader["node"]]
    return next((n for n in others if n["region"] == leader["region"]), others[0])


def planned_transfer(scene: Scene, story: Story) -> None:
    """Hand the shard over while a client writes."""
    story.chapter("A planned transfer")
    with scene.writes("transfer", scene.settled_leader()["leader"]) as writes:
        writes.wait_for_number(20, CHANGE_S_MAX)
        before = scene.settled_leader()["leader"]
        target = _neighbour(scene, before)
        # By force: the neighbour may be one that this tour froze a moment ago, and so a suspect.
        order = {"to_node": target["id"], "force": True}
        reply = scene.access.send(
            "POST",
            f"/v1/shards/{scene.shard}/transfer",
            query={"reason": "tour"},
            headers={"Content-Type": "application/json"},
            body=json.dumps(order).encode(),
        )
        taken = writes.wait_for_epoch_after(before["epoch"], CHANGE_S_MAX)
        if taken is not None:
            writes.wait_for_number(taken.number + 20, CHANGE_S_MAX)
    lost = scene.lost("transfer")
    if taken is None:
        story.verdict(False, f"no write was acknowledged after the transfer: {reply.document()}")
        return
    pause = (taken.at_s - writes.before(taken).at_s) * 1000
    story.say(
        f"{before['node']} is asked to hand shard {scene.shard} to {target['id']}. It stops taking",
        f"writes for {reply.document()['paused_ms']} ms, until a majority of stores knows the",
        "heir; nobody waits for a lease to run out.",
        f"Our client, which writes all the time, saw {ms(pause)} between the last write at epoch",
        f"{before['epoch']} and the first at epoch {taken.epoch}.",
    )
    heir = scene.leader_of(taken.epoch)
    story.verdict(
        heir == target["id"] and not lost,
        f"{heir} leads; {count(len(scene.acked['transfer']), 'acknowledged write')}, "
        f"{len(lost)} lost; pause {ms(pause)}",
    )
