"""What an operator can wish for the first shards of a fleet: how many, and what they survive.

Words alone, without the topology they will be worked out on, so that the command line can name
them in its help without loading it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

SHARDS_MAX: Final = 100_000


class Survival(StrEnum):
    """What a fleet's first shards survive the loss of."""

    MIXED = "mixed"  # even shards a region, odd ones a zone
    REGION = "region"
    ZONE = "zone"
