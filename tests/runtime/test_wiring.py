"""Lanes that are taken up, given up, and taken up again."""

from __future__ import annotations

import asyncio
import random

import pytest

from controlplane.machine import Connected, Rewire
from controlplane.runtime import wiring
from controlplane.runtime.wiring import Wiring
from controlplane.settings import NodeSettings
from controlplane.telemetry.metrics import NodeMetrics
from regions.reference import default_topology
from tests.runtime.test_lanes import ScriptedStore, until

TOPOLOGY = default_topology(("eu-central-1",), zones=1)
STORE = TOPOLOGY.stores[0].id


async def test_a_lane_to_a_store_that_came_back_is_younger_than_the_one_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore()
    monkeypatch.setattr(wiring, "lane_maker", lambda *how, **more: store.make_lane)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    settings = NodeSettings(node=TOPOLOGY.nodes[0].id, topology=TOPOLOGY)
    wires = Wiring(settings, NodeMetrics(), lambda *why: None, lambda seen: None)
    async with asyncio.TaskGroup() as tasks:
        wires.open({STORE: "inc-1"}, store.events.append, tasks)
        await until(lambda: store.events == [Connected(STORE, 1)])
        wires.rewire(Rewire(STORE, ""))
        wires.rewire(Rewire(STORE, "inc-1"))
        await until(lambda: store.events[1:] == [Connected(STORE, 2)])
        wires.close()
