"""A node that leads a shard, and what is done to it in the schedules of rules."""

from typing import Any

from tests.node.rig import Rig, Seat


def led_rig(*nodes: str) -> tuple[Rig, Seat]:
    """A fleet whose first node leads shard `a`, and is vouched for everywhere."""
    rig = Rig(nodes or ("n1",))
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    rig.run(rig.ttl_ms)
    return rig, seat


def let_a_rival_in(rig: Rig, store: str, epoch: int) -> None:
    """Another process is promised a higher epoch at one store, as after a split election."""
    grant = rig.stores[store].state.groups["g"].grants["a"]
    rig.do(store, "register", "x-1/1", "x", "eu", "//x")
    rig.do(store, "release", "a", str(grant.he), grant.h)
    assert rig.do(store, "prepare", "a", str(epoch), "x-1/1", ["free"])[0] == "OK"


def spy(rig: Rig, store: str) -> list[list[Any]]:
    """Every command that arrives at one store from now on."""
    seen: list[list[Any]] = []
    rig.on_call = lambda at, commands: seen.extend(commands if at == store else [])
    return seen
