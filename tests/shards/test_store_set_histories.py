"""Random histories of changing store sets, on twin stores: nothing acknowledged is lost.

While leaders of every version write, stores forget and go away for a while; processes that want
different changes begin, compete and crash at any moment, and others finish what they left. In the
end all is quiet, and the group must come to rest in one version, with all of its stores alike.
"""

from __future__ import annotations

from random import Random

import pytest

from regions.change import Wish
from regions.membership import GroupDescription, members, read_description
from regions.quorum import quorum_of
from tests.shards.store_set_leader import Leader
from tests.shards.store_set_world import SHARDS, World

STORMY_MS = 6_000
QUIET_MS = 120_000


class History:
    """What happens to one world."""

    def __init__(self, seed: int) -> None:
        chance = Random(f"history {seed}")
        self.world = World(seed, chance.choice((3, 3, 5)), chance.choice((0.0, 0.02, 0.1)))
        self.chance = chance
        self.leaders: dict[str, Leader] = {}
        self.forgotten = 0
        self.is_stormy = True
        self._names = 0
        self._lead()
        self.world.after(500, self._coordinate)
        self.world.after(chance.randint(100, 1_000), self._harm)

    def name(self, kind: str) -> str:
        """A process that was never there before."""
        self._names += 1
        return f"{kind}{self._names}"

    # -- leaders

    def _lead(self) -> None:
        world, chance = self.world, self.chance
        for shard in SHARDS:
            leader = self.leaders.get(shard)
            roll = chance.random()
            if leader is None or leader.is_over or roll < 0.02:
                if roll < 0.3 and self.is_stormy:
                    version = chance.choice(sorted(world.decided)[-2:])
                    self.leaders[shard] = Leader(world, self.name("l"), shard, version)
            elif leader.leads and self.is_stormy:
                if roll < 0.6:
                    leader.write(chance.randint(1, 3))
                elif roll < 0.8:
                    leader.tell_commit()
                elif roll < 0.9:
                    leader.trim()
        if self.is_stormy:
            world.after(chance.randint(5, 40), self._lead)

    # -- those who change the store set

    def _coordinate(self) -> None:
        """Two processes at most; one that has nothing left to do makes room for another."""
        world, chance = self.world, self.chance
        for name, changing in list(world.changings.items()):
            crashes = self.is_stormy and chance.random() < 0.1
            if changing.is_over or crashes or (chance.random() < 0.05 and changing.give_up()):
                world.crash(name)
        if len(world.changings) < (2 if self.is_stormy else 1):
            self._begin()
        world.after(chance.randint(100, 1_500), self._coordinate)

    def _begin(self) -> None:
        world = self.world
        shown = world.signpost()
        newest = world.description(1) if shown is None else read_description(shown)
        if shown is not None and not self.is_at_rest(newest):
            world.finish(self.name("c"), shown)
        else:
            wish = self._wish(newest)
            if wish is not None:
                world.coordinate(self.name("c"), wish, newest.version)

    def is_at_rest(self, described: GroupDescription) -> bool:
        """Whether all its stores count in a version, but for those that forgot."""
        return all(
            world_open(self.world, m.store, described.version)
            for m in members(described.voters)
            if self.world.stores[m.store].state.incarnation == m.incarnation
        )

    def _wish(self, newest: GroupDescription) -> Wish | None:
        """Stores that forgot are admitted anew; else, while it storms, anything at all."""
        voters = dict(newest.voters)
        stores = self.world.stores
        gone = [s for s, i in voters.items() if stores[s].state.incarnation != i]
        if gone:
            return Wish(tuple(voters), forgot=frozenset({self.chance.choice(gone)}))
        if not self.is_stormy or newest.version > 3:
            return None
        kind = self.chance.choice(("replace", "add", "remove"))
        names = list(voters)
        leaving = self.chance.choice(names)
        if kind == "add" or (kind == "remove" and len(names) < 4):
            return Wish((*names, self._new_store()))
        names.remove(leaving)
        if kind == "replace":
            names.append(self._new_store())
        return Wish(tuple(names))

    def _new_store(self) -> str:
        name = self.name("n")
        self.world.new_store(name)
        return name

    # -- harm

    def _harm(self) -> None:
        world, chance = self.world, self.chance
        if not self.is_stormy:
            return
        shown = world.signpost()
        newest = world.description(1) if shown is None else read_description(shown)
        victim = chance.choice(sorted(world.stores))
        if chance.random() < 0.3 and self._may_forget(newest, victim):
            world.forget(victim)
            world.down.discard(victim)
        elif len(world.down) < (len(newest.voters) - 1) // 2:
            world.down.add(victim)
            world.after(chance.randint(100, 3_000), lambda: world.down.discard(victim))
        world.after(chance.randint(100, 1_500), self._harm)

    def _may_forget(self, newest: GroupDescription, victim: str) -> bool:
        """So many incarnations are left of every version that counts, or may, that it can go on."""
        stores = self.world.stores
        accepted = [self.world.group(name).register.ad for name in stores]
        proposed = [read_description(text).voters for text in accepted if text]
        for voters in (newest.voters, newest.before, *proposed):
            left = [
                s for s, i in voters.items() if s != victim and stores[s].state.incarnation == i
            ]
            if voters and len(left) < quorum_of(len(voters)):
                return False
        return True

    # -- the end

    def play(self) -> None:
        """All of it."""
        world = self.world
        world.run(STORMY_MS)
        self.is_stormy = False
        world.loss = 0.0
        world.down.clear()
        assert world.run(QUIET_MS, self._is_calm), self._told()
        self._lead_to_the_end()

    def _lead_to_the_end(self) -> None:
        """One more leader for each shard brings the rest to every store that it reaches."""
        world = self.world
        version = max(world.decided)
        for shard in SHARDS:
            self.leaders[shard] = Leader(world, self.name("l"), shard, version)
        world.run(5_000, lambda: all(self.leaders[s].leads for s in SHARDS))
        for _ in range(3):
            for shard in SHARDS:
                self.leaders[shard].tell_commit()
            world.run(200)
        for store in world.description(version).voters:
            world.check_data(store)

    def _is_calm(self) -> bool:
        shown = self.world.signpost()
        newest = self.world.description(1) if shown is None else read_description(shown)
        return all(world_open(self.world, s, newest.version) for s in newest.voters) and all(
            self.world.stores[s].state.incarnation == i for s, i in newest.voters.items()
        )

    def _told(self) -> str:
        told = [f"{name}: {c.state} {c.why}" for name, c in self.world.changings.items()]
        told += [
            f"{name} {self.world.stores[name].state.incarnation[:4]}: {group.state} {group.version}"
            for name in self.world.stores
            for group in [self.world.group(name)]
        ]
        return "\n".join(told)


def world_open(world: World, store: str, version: int) -> bool:
    group = world.group(store)
    return (group.state, group.version) == ("open", version)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_acknowledged_is_lost_and_the_group_comes_to_rest(seed: int) -> None:
    History(seed).play()
