"""Nodes and stores killed and paused at random under writes: what was acknowledged is all there.

The seed is in the name of the test's failure; give it in FAULT_SEED to see the same faults again.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack

import pytest

from tests.integration.fleet_on_test import MEND_S_MAX, FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("fleet")]

FAULTS_S = 20.0
PAUSE_S_MAX = 3.0
BREATH_S_MAX = 1.5
GROUPS = ("global", "region/eu-central-1", "region/us-east-1")


def test_nothing_acknowledged_is_lost_whatever_is_killed(fleet: FleetOnTest) -> None:
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    chance, done = random.Random(seed), list[str]()
    shards = [fleet.shard(group) for group in GROUPS]
    with ExitStack() as stack:
        writers = [stack.enter_context(fleet.writes(s, f"random-{seed}")) for s in shards]
        end_s = time.monotonic() + FAULTS_S
        while time.monotonic() < end_s:
            done.append(hurt_something(fleet, chance))
            time.sleep(chance.uniform(0.1, BREATH_S_MAX))
        fleet.until_whole()
        for writer in writers:
            number = len(writer.acks) + 20
            assert writer.wait_for_number(number, MEND_S_MAX), f"seed {seed}: {done}"
    for shard, writer in zip(shards, writers, strict=True):
        told = f"seed {seed}, {shard['shard']}: {done}"
        assert fleet.lost(shard, f"random-{seed}", writer) == set(), told
        epochs = [ack.epoch for ack in writer.acks]
        assert epochs == sorted(epochs), told


def hurt_something(fleet: FleetOnTest, chance: random.Random) -> str:
    """Kill or pause one process, and let it come back; say what was done.

    One at a time, so that every group keeps its majority, and a pause may outlast a lease.
    """
    kind = chance.choice(("nodes", "nodes", "stores"))
    name = str(chance.choice(fleet.state()[kind])["id"])
    process = fleet.process(kind, name)
    if chance.random() < 0.5:
        process.signal(signal.SIGKILL)
        wait_for(lambda: fleet.process(kind, name) != process, f"{name} is started again")
        return f"kill {name}"
    pause_s = chance.uniform(0.1, PAUSE_S_MAX)
    with asleep(process):
        time.sleep(pause_s)
    return f"pause {name} for {pause_s:.2f} s"
