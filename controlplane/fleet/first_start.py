"""Making the stores of a new fleet its own: once, and only when all of them are empty.

It happens on the first start alone, and is remembered in the fleet's directory. A store that is
found empty later has forgotten what it promised; to initialise it again would hide exactly that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controlplane.backup.archive import open_backup
from controlplane.backup.restoring import restore
from controlplane.backup.saving import Progress
from controlplane.store_lanes import lane_maker
from regions.bootstrap import NewGroup, bootstrap
from regions.topology import Topology


async def initialise(topology: Topology, nonce: str) -> None:
    """Give every store its identity, and every group its members and its lease.

    When it was interrupted, it goes on where it was, as long as the nonce is the same. Raises
    BootstrapRefused, which names every store that is not empty, or cannot be reached.
    """
    stores = {s.id: lane_maker(s.listens_at, {}, may_be_empty=True) for s in topology.stores}
    groups = [NewGroup(g.name, g.ttl_ms, g.stores, g.followers) for g in topology.groups]
    await bootstrap(stores, groups, nonce)


async def initialise_from(
    backup: Path, topology: Topology, tell: Callable[[Progress], None]
) -> None:
    """Make the stores those of a fleet that was backed up. Raises BackupInvalid, BackupRefused."""
    with open_backup(backup) as found:
        await restore(found, topology, lambda at: lane_maker(at, {}, may_be_empty=True), tell)
