"""The whole function library in Python: the twin of what Leadplane runs in its stores."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from regions.codec import FORMAT
from regions.scripts.commands import REGION_COMMANDS
from regions.scripts.model import Clock, StoreModel
from shards.scripts.draft_copy import COPY_COMMANDS
from shards.scripts.drafts import DRAFT_COMMANDS, unripe
from shards.scripts.grants import GRANT_COMMANDS
from shards.scripts.learning import LEARNER_COMMANDS
from shards.scripts.log import LOG_COMMANDS
from shards.scripts.membership import MEMBERSHIP_COMMANDS
from shards.scripts.reads import READ_COMMANDS
from shards.scripts.snapshots import SNAPSHOT_COMMANDS

SHARD_COMMANDS: Final = MappingProxyType(
    {
        **unripe(GRANT_COMMANDS | LOG_COMMANDS | READ_COMMANDS | SNAPSHOT_COMMANDS),
        "append": LOG_COMMANDS["append"],  # what is decided takes the place of a draft
        **LEARNER_COMMANDS,
        **MEMBERSHIP_COMMANDS,
        **DRAFT_COMMANDS,
        **COPY_COMMANDS,
    }
)
COMMANDS: Final = MappingProxyType({**REGION_COMMANDS, **SHARD_COMMANDS})


def empty_store(run_id: str, clock: Clock = lambda: (0, 0)) -> StoreModel:
    """A store that was never given an identity."""
    return StoreModel(COMMANDS, run_id, clock)


def new_store(
    store_id: str, run_id: str = "run-0", clock: Clock = lambda: (0, 0), nonce: str = "nonce"
) -> StoreModel:
    """A store with an identity, and a member of no group yet."""
    store = empty_store(run_id, clock)
    store.call([FORMAT, "", "", 0], [["mint", "", 0, store_id, nonce]])
    return store
