"""The routes of writes that a leader could not confirm."""

from __future__ import annotations

from typing import Final

from controlplane.api import fenced_writes
from controlplane.api.headers import PASSED_ON
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS
from controlplane.api.route import Answer, Endpoint, Needs

ASKED: Final = ("invalid", "unknown-node", "no-member", "leader-unreachable")

FENCED_WRITES: Final = (
    Endpoint(
        "GET",
        "/v1/nodes/{node}/fenced-writes",
        fenced_writes.list_fenced_writes,
        "Writes that the node led and could not confirm, and what became of them",
        "fleet",
        Needs.OPERATOR,
        (Answer(200, "One page.", fenced_writes.FencedWriteDocument, listed=True),),
        ASKED,
        LIST_PARAMETERS,
        PASSED_ON,
    ),
    Endpoint(
        "GET",
        "/v1/nodes/{node}/fenced-writes/{number}",
        fenced_writes.get_fenced_write,
        "One of them, with its values",
        "fleet",
        Needs.OPERATOR,
        (Answer(200, "It.", fenced_writes.FencedWriteDocument),),
        (*ASKED, "unknown-write"),
        NO_PARAMETERS,
        PASSED_ON,
    ),
)
