"""Who belongs to a group, as the simulated stores themselves hold it, version by version.

A store is called by its name as long as it never forgot. Its later incarnations are others, and are
called `s1#2`, `s1#3` and so on. So checkers count what a store says under the name of who said it.
"""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.simulator.stores import SimulatedStore
from regions.membership import GroupDescription, read_description
from regions.scripts.state import Group


class StoreSets:
    """Looks at the stores of one simulation."""

    def __init__(self, stores: Mapping[str, SimulatedStore]) -> None:
        self._stores = stores
        self._lives: dict[str, list[str]] = {name: [] for name in stores}
        self._voters: dict[tuple[str, int], tuple[str, ...]] = {}
        for store in stores.values():
            self.member(store)

    def member(self, store: SimulatedStore) -> str:
        """What the present incarnation of a store is called."""
        return self._called(store.name, store.twin.state.incarnation)

    def _called(self, name: str, incarnation: str) -> str:
        lives = self._lives[name]
        if incarnation not in lives:
            lives.append(incarnation)
        life = lives.index(incarnation) + 1
        return name if life == 1 else f"{name}#{life}"

    def voters(self, name: str, group: Group) -> tuple[str, ...]:
        """Who votes in the version of group `name` at which some store is."""
        known = self._voters.get((name, group.version))
        if known is None:
            described = _description(group)
            known = tuple(self._called(s, i) for s, i in described.voters.items())
            self._voters[name, group.version] = known
        return known

    def latest(self, name: str) -> GroupDescription:
        """The latest version of a group at which any store is, open or sealed."""
        told = [
            _description(group)
            for store in self._stores.values()
            if (group := store.twin.state.groups.get(name)) is not None and group.state != "learner"
        ]
        return max(told, key=lambda description: description.version)

    def open_voters(self, described: GroupDescription) -> set[str]:
        """Voters of a version that are open at it, and have not forgotten it."""
        found = set()
        for name, incarnation in described.voters.items():
            state = self._stores[name].twin.state
            group = state.groups.get(described.group)
            if state.incarnation != incarnation or group is None:
                continue
            if (group.state, group.version) == ("open", described.version):
                found.add(name)
        return found

    def can_spare(self, name: str, group: str) -> bool:
        """Whether a group goes on, and can be changed, when this store forgets everything now."""
        described = self.latest(group)
        return len(self.open_voters(described) - {name}) >= described.quorum

    def is_whole(self, group: str) -> bool:
        """Whether every voter of the latest version is open at it."""
        described = self.latest(group)
        return len(self.open_voters(described)) == len(described.voters)


def _description(group: Group) -> GroupDescription:
    assert not isinstance(group.description, bool), "a group that there is has a description"
    return read_description(group.description)
