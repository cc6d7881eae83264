"""Drains and promises in the system shard: read and written at the node that leads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from config.audit import Note
from controlplane.api.service import Service
from controlplane.node.audit_notes import drain_notes
from controlplane.node.drains import PARTITION, PREFIX, Drain, read_drain
from controlplane.node.following import SYSTEM
from controlplane.planning.stopping import Promise, packed_promises, read_promises
from controlplane.planning.system_shard import values_of
from controlplane.problems import from_refusal
from controlplane.requests import (
    Compare,
    Put,
    Refused,
    Scan,
    Scanned,
    Write,
)

PROMISES_KEY: Final = "{placement}/promises"
DRAINS_MAX: Final = 10_000


class DrainBook:
    """What is kept, as the leader of the system shard sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def drains(self) -> tuple[tuple[Drain, int], ...]:
        """Every record with its version, by key. Raises RequestRefused, ValueError."""
        outcome = await self._service.submit(Scan(SYSTEM, PARTITION, PREFIX, "", DRAINS_MAX))
        if isinstance(outcome, Refused):
            raise from_refusal(outcome)
        assert isinstance(outcome, Scanned), outcome
        return tuple((read_drain(key, v.data), v.version) for key, v in outcome.items)

    async def put(self, drain: Drain, version: int, before: Drain | None = None) -> Refused | None:
        """Write a drain down, if it has this version still; 0: if there is none.

        `before`: what it was in that version, for the audit log.
        """
        put = Put(PARTITION, drain.key, drain.packed())
        return await self._write(put, Compare(drain.key, version), *drain_notes(before, drain))

    async def promises(self) -> tuple[tuple[Promise, ...], int]:
        """Those that were made, with their version. Raises RequestRefused, ValueError."""
        (value,) = await values_of(self._service, PROMISES_KEY)
        return (read_promises(value.data), value.version) if value is not None else ((), 0)

    async def promise(
        self, promises: Iterable[Promise], version: int, note: Note
    ) -> Refused | None:
        """Write promises down, if nobody made one meanwhile."""
        put = Put(PARTITION, PROMISES_KEY, packed_promises(promises))
        return await self._write(put, Compare(PROMISES_KEY, version), note)

    async def _write(self, put: Put, compare: Compare, *notes: Note) -> Refused | None:
        outcome = await self._service.submit(Write(SYSTEM, (put,), (compare,), notes=notes))
        return outcome if isinstance(outcome, Refused) else None
