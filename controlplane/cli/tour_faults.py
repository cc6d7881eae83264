"""The loud chapters of the tour: a leader killed, a leader asleep, a store killed."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from controlplane.bench.numbered_writes import Ack, NumberedWrites
from controlplane.cli.connection import CommandFailed
from controlplane.cli.kv import key_path
from controlplane.cli.tour_scene import Scene, asleep, process_of
from controlplane.cli.tour_stores import offer_stale_append, watch_grant
from controlplane.cli.tour_story import Story, count, ms

CHANGE_S_MAX = 60.0
STEADY_WRITES = 50
STORE_DOWN_S = 3.0
ANSWER_S_MAX = 20.0


def kill_the_leader(scene: Scene, story: Story) -> None:
    """kill -9 while a client writes: a new leader, and nothing acknowledged is lost."""
    story.chapter("kill -9 of the leader, while a client writes")
    with scene.writes("kill", scene.settled_leader()["leader"]) as writes:
        leader = _steady(scene, writes)
        process = process_of(scene.node(leader["node"]))
        killed_at = time.monotonic()
        process.signal(signal.SIGKILL)
        taken = _taken_over(writes, leader)
        writes.wait_for_number(taken.number + STEADY_WRITES, CHANGE_S_MAX)
    ttl_ms = scene.group()["ttl_ms"]
    after_ms = (taken.at_s - killed_at) * 1000
    new = scene.leader_of(taken.epoch)
    story.say(
        f"{leader['node']} is process {process.pid}: kill -9 {process.pid}.",
        "Nobody told the others.",
        f"They saw its session stand still for one lease ({ttl_ms:,} ms), and {new}",
        f"took over at epoch {taken.epoch}: {ms(after_ms)} after the kill, a write was",
        "acknowledged again.",
    )
    _tell_loss(scene, story, "kill", f"new leader after {ms(after_ms)}", writes)


def wake_an_old_leader(scene: Scene, story: Story) -> None:
    """SIGSTOP, another takes over, SIGCONT: the old one is refused wherever it turns."""
    story.chapter("A leader that falls asleep, and wakes up as nobody")
    with scene.writes("sleep", scene.settled_leader()["leader"]) as writes:
        old = _steady(scene, writes)
        node, process = scene.node(old["node"]), process_of(scene.node(old["node"]))
        grant = watch_grant(scene)
        slept_at = time.monotonic()
        with asleep(process):
            late = _send_late(scene, str(node["url"]))
            led_ms = _led_anew(scene, node["id"], old["epoch"], slept_at)
            taken = _taken_over(writes, old)
        answer = late.getresponse()
        answer.read()
        writes.wait_for_number(taken.number + STEADY_WRITES, CHANGE_S_MAX)
    new = scene.leader_of(taken.epoch)
    story.say(
        f"{old['node']} leads at epoch {old['epoch']}. SIGSTOP: it stands still, its connections",
        f"stay open, and it does not know that time passes. {new} led at epoch",
        f"{taken.epoch} after {ms(led_ms)}; the client's next write was acknowledged after",
        f"{ms((taken.at_s - slept_at) * 1000)}. Then SIGCONT.",
    )
    accepted = answer.status < 300
    story.say(
        "A write that waited in the sleeper's socket, for it alone, was answered with",
        f"HTTP {answer.status} {answer.reason}: {'taken' if accepted else 'not taken'}.",
        "And had it sent that write to the stores after all? We do so in its name, as session",
        f"{grant.session} with epoch {grant.epoch}:",
    )
    refusals = offer_stale_append(scene, grant)
    story.table(
        ("store", "offered epoch", "its answer", "has promised epoch"),
        [(r.store, grant.epoch, r.code, r.promised_epoch) for r in refusals],
    )
    fenced = sum(refusal.code == "FENCED" for refusal in refusals)
    holds = fenced == len(refusals) and not accepted
    _tell_loss(
        scene,
        story,
        "sleep",
        f"{fenced} of {count(len(refusals), 'store')} refused epoch {grant.epoch}",
        writes,
        holds,
    )


def kill_a_store(scene: Scene, story: Story) -> None:
    """kill -9 of one voter: the majority goes on, under the same leader."""
    story.chapter("kill -9 of a store")
    group = scene.group()
    leader = scene.settled_leader()["leader"]
    near = [s for s in scene.state()["stores"] if s["id"] in group["stores"]]
    store = next((s for s in near if s["region"] == leader["region"]), near[0])
    process = process_of(store)
    with scene.writes("store", leader) as writes:
        _steady(scene, writes)
        killed_at = time.monotonic()
        process.signal(signal.SIGKILL)
        time.sleep(STORE_DOWN_S)
        gap_ms = writes.longest_gap_ms(killed_at)
        since = sum(ack.at_s >= killed_at for ack in writes.acks)
        epochs = {ack.epoch for ack in writes.acks}
    story.say(
        f"{store['id']} votes in group {group['name']}; it is process {process.pid}, and gone.",
        f"The other {len(group['stores']) - 1} are a majority, so writes go on:",
        f"{count(since, 'acknowledgement')} in the next {STORE_DOWN_S:g} s, never more than",
        f"{ms(gap_ms)} between two. The supervisor has started it again; it catches up by itself.",
    )
    _tell_loss(
        scene,
        story,
        "store",
        f"longest pause {ms(gap_ms)}, same leader",
        writes,
        since > 0 and len(epochs) == 1,
    )


def _steady(scene: Scene, writes: NumberedWrites) -> dict[str, Any]:
    """Wait until the client writes steadily; the leader that takes its writes."""
    if not writes.wait_for_number(STEADY_WRITES, CHANGE_S_MAX):
        raise CommandFailed(f"no {STEADY_WRITES} writes were acknowledged in {CHANGE_S_MAX:g} s")
    leader: dict[str, Any] = scene.settled_leader()["leader"]
    return leader


def _taken_over(writes: NumberedWrites, old: Mapping[str, Any]) -> Ack:
    taken = writes.wait_for_epoch_after(int(old["epoch"]), CHANGE_S_MAX)
    if taken is None:
        raise CommandFailed(f"no new leader took a write within {CHANGE_S_MAX:g} s")
    return taken


def _led_anew(scene: Scene, sleeper: str, epoch: int, since_s: float) -> float:
    """Wait until the others know a leader of a later epoch; milliseconds since then."""
    witness = next(n for n in scene.state()["nodes"] if n["id"] != sleeper)
    awake = scene.access.only(str(witness["url"]))

    def look() -> bool | None:
        route = scene.route(awake)
        return True if route["leader"] and route["epoch"] > epoch else None

    scene.wait_for(look, "nobody took over")
    return (time.monotonic() - since_s) * 1000


def _send_late(scene: Scene, url: str) -> http.client.HTTPConnection:
    """Put a write into the socket of a process that stands still: it will find it on waking."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S_MAX)
    connection.request("PUT", key_path(scene.key("late")) + "?proxy=false", b"from a past life")
    return connection


def _tell_loss(
    scene: Scene,
    story: Story,
    chapter: str,
    said: str,
    writes: NumberedWrites,
    holds: bool = True,
) -> None:
    """Close a chapter by reading again, strongly, everything that was acknowledged in it."""
    lost = scene.lost(chapter)
    acked = scene.acked[chapter]
    story.say(
        f"The client wrote 1 to {len(acked)};",
        f"{count(writes.refusals, 'attempt')} had to be repeated.",
        f"Read again: {len(acked) - len(lost)} of {len(acked)} are there.",
    )
    story.verdict(
        holds and not lost,
        f"{said}; {count(len(acked), 'acknowledged write')}, {len(lost)} lost",
    )
