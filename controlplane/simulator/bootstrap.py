"""New stores for a simulation: minted, and made members of their groups."""

from __future__ import annotations

from typing import Any

from regions.codec import FORMAT, Code
from regions.scripts.model import StoreModel
from shards.scripts.model import COMMANDS

DESCRIPTION = b"simulated"


def new_twin(name: str, groups: list[tuple[str, int]]) -> StoreModel:
    """An initialised store of that name; `groups` are (name, version)."""
    twin = StoreModel(COMMANDS, f"{name}-run-0")
    _must_work(twin, ["mint", "", 0, name, f"nonce of {name}"])
    for group, version in groups:
        _must_work(twin, ["install", group, version, DESCRIPTION])
    return twin


def _must_work(twin: StoreModel, command: list[Any]) -> None:
    reply = twin.call([FORMAT, twin.state.incarnation, "", 0], [command])
    codes = [reply.code, *(result[0] for result in reply.results)]
    assert codes == [Code.OK, Code.OK], f"a new store refused {command}: {reply}"
