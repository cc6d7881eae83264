"""Sessions: what a client has seen of a key never becomes unseen by its own later reads.

For clients with one request under way at a time, that show the position they got last with every
session read: their acknowledged writes and earlier session reads are what a session covers. It is
told by versions alone, without the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controlplane.requests import Consistency, Found, Read, Write, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation

INVARIANT = "7 sessions never go back"


def check_sessions(operations: Iterable[Operation], findings: Findings) -> int:
    """Hold every session read against what its client had seen; give how many there were."""
    known: dict[tuple[str, str], int] = defaultdict(int)
    reads = 0
    for operation in operations:
        request, outcome = operation.request, operation.outcome
        if isinstance(request, Write) and isinstance(outcome, Written):
            for mutation in request.mutations:
                place = (operation.client, mutation.key)
                known[place] = max(known[place], outcome.position)
        elif isinstance(request, Read) and isinstance(outcome, Found):
            if request.consistency is not Consistency.SESSION:
                continue
            reads += 1
            for key, value in zip(request.keys, outcome.values, strict=True):
                version, place = 0 if value is None else value.version, (operation.client, key)
                if version < known[place]:
                    detail = (
                        f"{operation.client} read {key} at {operation.node} in version {version}, "
                        f"but had seen {known[place]}"
                    )
                    findings.add(INVARIANT, operation.ended_ms or 0, detail)
                known[place] = max(known[place], version)
    return reads
