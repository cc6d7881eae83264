"""What a check-up looks at: answers of the API, gathered once, so that all checks see the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeSight:
    """What a node says of itself when it is asked at its own front door; `why`: it does not."""

    node: str
    why: str = ""
    version: str = ""
    failed: tuple[Row, ...] = ()  # checks of its readiness
    fenced: int = 0  # writes of clients that lost their leader, and are not known to have happened


@dataclass(frozen=True, slots=True)
class Sight:
    """A fleet as it was found.

    `status` is `/v1/status`, joined over regions. `unasked`: looks whose question got no answer,
    with why; what they are about is None, or left out.
    """

    status: Row
    unled: tuple[Row, ...] = ()
    nodes: tuple[NodeSight, ...] = ()
    placement: Row | None = None
    rollouts: tuple[Row, ...] | None = None
    audit: Row | None = None
    unasked: Mapping[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> list[Row]:
        """Nodes that renew their sessions."""
        return [node for node in self.status["nodes"] if node["alive"]]
