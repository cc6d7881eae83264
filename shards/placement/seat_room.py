"""Room at the nodes of one region while shards are taken out and put elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import SLACK
from shards.placement.nodes import Nodes, Scope
from shards.placement.problem import NOWHERE, Floats

Ints = NDArray[np.intp]


class Room:
    """Who is where, and how full that is. Items are the region's shards, by their place in it."""

    def __init__(self, nodes: Nodes, loads: Floats, rows: Ints, there: Ints, node: Ints) -> None:
        """`node`: where each item is at first, NOWHERE or one of `there`."""
        self.node = node.astype(np.intp)
        self._there = there
        self._loads = loads
        zones: dict[tuple[int, str], int] = {}
        self._zone = np.array([zones.setdefault(nodes.zone_of(n), len(zones)) for n in there])
        self._limits = (np.array(nodes.limits.all), np.array(nodes.zone_limits.all))
        places = (np.arange(len(there)), self._zone)
        self._place = places
        self._used = [np.zeros((int(place.max()) + 1, 3)) for place in places]
        at = {int(row): item for item, row in enumerate(rows)}
        self._sets: list[tuple[int, list[int]]] = []
        for apart in nodes.apart:
            members = [at[row] for row in apart.shards if row in at]
            if len(members) > 1:
                self._sets.append((0 if apart.scope is Scope.NODE else 1, members))
        self._sets_of: dict[int, list[int]] = {}
        for number, (_, members) in enumerate(self._sets):
            for item in members:
                self._sets_of.setdefault(item, []).append(number)
        index = self._index(self.node)
        for place, used in zip(places, self._used, strict=True):
            np.add.at(used, place[index[index >= 0]], loads[index >= 0])
        self._crowd = [np.zeros(len(self._used[level])) for level, _ in self._sets]
        for (level, members), crowd in zip(self._sets, self._crowd, strict=True):
            some = index[members]
            np.add.at(crowd, places[level][some[some >= 0]], 1.0)

    def _index(self, node: Ints) -> Ints:
        """Numbers of nodes as places in the region; below 0 for NOWHERE."""
        found: Ints = np.where(node == NOWHERE, NOWHERE, np.searchsorted(self._there, node))
        return found

    def is_kept(self) -> bool:
        """True when every limit and every set is kept, and everybody is somewhere."""
        full = any(
            (used > most * (1 + SLACK)).any()
            for used, most in zip(self._used, self._limits, strict=True)
        )
        crowded = any((crowd > 1).any() for crowd in self._crowd)
        return not full and not crowded and bool((self.node != NOWHERE).all())

    def overfull(self) -> Ints:
        """Items at places where some limit or set is not kept."""
        index = self._index(self.node)
        found = np.zeros(len(index), dtype=bool)
        for place, used, most in zip(self._place, self._used, self._limits, strict=True):
            over = np.atleast_1d((used > most * (1 + SLACK)).any(axis=1))
            found |= (index >= 0) & over[place[index]]
        for (level, members), crowd in zip(self._sets, self._crowd, strict=True):
            some = np.array(members, dtype=np.intp)
            crowded: NDArray[np.bool_] = np.atleast_1d(crowd > 1)
            found[some] |= (index[some] >= 0) & crowded[self._place[level][index[some]]]
        return np.flatnonzero(found)

    def weight(self) -> Floats:
        """How much each item asks for, in parts of what a node or a zone bears."""
        parts = [self._loads / most for most in self._limits]
        weight: Floats = np.maximum(*parts).max(axis=1)
        return weight

    def take_out(self, stays: NDArray[np.bool_]) -> list[int]:
        """Take out items until all is kept, none of those that stay; gives their numbers."""
        out = list(np.flatnonzero(self.node == NOWHERE).tolist())
        for level, members in self._sets:
            seen: set[int] = set()
            for item in sorted(members, key=lambda each: (not stays[each], each)):
                if self.node[item] == NOWHERE:
                    continue
                place = int(self._place[level][self._index(self.node[item : item + 1])[0]])
                if place in seen and not stays[item]:
                    out.append(item)
                    self._move(item, NOWHERE)
                seen.add(place)
        for level, (used, most) in enumerate(zip(self._used, self._limits, strict=True)):
            for place, kind in np.argwhere(used > most * (1 + SLACK)).tolist():
                out += self._relieve(level, place, kind, float(most[kind]), stays)
        return out

    def _relieve(
        self, level: int, place: int, kind: int, most: float, stays: NDArray[np.bool_]
    ) -> list[int]:
        """Take out of one place as few items as bring it below one limit."""
        index = self._index(self.node)
        here = (index >= 0) & ~stays
        here[here] = self._place[level][index[here]] == place
        items = np.flatnonzero(here)
        load = self._loads[items, kind]
        order = np.argsort(-load, kind="stable")
        over = self._used[level][place, kind] - most
        out: list[int] = []
        if over <= 0:
            return out
        passed = np.cumsum(load[order])
        count = int(np.searchsorted(passed, over * (1 - SLACK))) + 1
        some = order[:count]
        if count <= len(order):
            # The last of them may be a smaller one that is enough.
            left = over - (passed[count - 2] if count > 1 else 0.0)
            enough = [at for at in order[count - 1 :].tolist() if load[at] >= left * (1 - SLACK)]
            some = np.append(order[: count - 1], enough[-1])
        for item in items[some].tolist():
            self._move(item, NOWHERE)
            out.append(item)
        return out

    def put_anywhere(self, item: int, wanted: int) -> None:
        """Put an item where it wants to be, else where most room is left; nowhere if none has."""
        fits = self._fits(item)
        at = int(np.searchsorted(self._there, wanted))
        if wanted != NOWHERE and fits[at]:
            self._move(item, wanted)
            return
        if fits.any():
            after = self._used[0] + self._loads[item]
            fill = (after / self._limits[0]).max(axis=1)
            zone = (self._used[1] + self._loads[item]) / self._limits[1]
            fill = np.maximum(fill, zone.max(axis=1)[self._zone])
            self._move(item, int(self._there[np.where(fits, fill, np.inf).argmin()]))

    def put_back(self, item: int, wanted: int) -> None:
        """Let an item return, if there is room."""
        was = int(self.node[item])
        if wanted in (NOWHERE, was):
            return
        self._move(item, NOWHERE)
        at = int(np.searchsorted(self._there, wanted))
        self._move(item, wanted if self._fits(item)[at] else was)

    def _fits(self, item: int) -> NDArray[np.bool_]:
        """At which nodes an item that is nowhere would keep everything."""
        load = self._loads[item]
        fits, zones = (
            (used + load <= most * (1 + SLACK)).all(axis=1)
            for used, most in zip(self._used, self._limits, strict=True)
        )
        found: NDArray[np.bool_] = fits & zones[self._zone]
        for number in self._sets_of.get(item, ()):
            level, _ = self._sets[number]
            found &= self._crowd[number][self._place[level]] == 0
        return found

    def _move(self, item: int, node: int) -> None:
        for number, sign in ((int(self.node[item]), -1.0), (node, 1.0)):
            if number == NOWHERE:
                continue
            at = int(np.searchsorted(self._there, number))
            for place, used in zip(self._place, self._used, strict=True):
                used[place[at]] += sign * self._loads[item]
            for each in self._sets_of.get(item, ()):
                level, _ = self._sets[each]
                self._crowd[each][self._place[level][at]] += sign
        self.node[item] = node
