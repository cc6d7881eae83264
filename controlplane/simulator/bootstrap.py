"""New stores for a simulation: minted, and made members of their groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.simulator.scenario import GroupShape
from controlplane.simulator.world import World
from regions.codec import FORMAT, Code
from regions.membership import (
    FIRST_VERSION,
    GroupDescription,
    ask_for_description,
    description_in,
    write_description,
)
from regions.scripts.model import StoreModel
from shards.scripts.model import COMMANDS


def new_twin(name: str, world: World) -> StoreModel:
    """A store of that name with an identity, and a member of nothing."""

    def clock() -> tuple[int, int]:
        seconds, ms = divmod(world.now_ms, 1_000)
        return seconds, ms * 1_000

    twin = StoreModel(COMMANDS, f"{name}-run-0", clock)
    _must_work(twin, ["mint", "", 0, name, f"nonce of {name}"])
    return twin


def make_group(shape: GroupShape, twins: Mapping[str, StoreModel]) -> None:
    """Tell all stores of a group who belongs to it."""

    def members(stores: tuple[str, ...]) -> dict[str, str]:
        return {store: twins[store].state.incarnation for store in stores}

    description = GroupDescription(
        shape.name, FIRST_VERSION, shape.ttl_ms, members(shape.voters), members(shape.followers)
    )
    command = ["install", shape.name, FIRST_VERSION, write_description(description)]
    for store in (*shape.voters, *shape.followers):
        _must_work(twins[store], command)


def known_description(group: str, twins: Mapping[str, StoreModel]) -> GroupDescription:
    """What a node that starts learns of a group: the latest version that some store tells."""
    question = ask_for_description(group)
    told = []
    for twin in twins.values():
        reply = twin.call([FORMAT, twin.state.incarnation, "", 0], [question], only_reads=True)
        found = description_in(reply.results[0]) if reply.results else None
        if found is not None:
            told.append(found)
    return max(told, key=lambda description: description.version)


def _must_work(twin: StoreModel, command: list[Any]) -> None:
    reply = twin.call([FORMAT, twin.state.incarnation, "", 0], [command])
    codes = [reply.code, *(result[0] for result in reply.results)]
    assert codes == [Code.OK, Code.OK], f"a new store refused {command}: {reply}"
