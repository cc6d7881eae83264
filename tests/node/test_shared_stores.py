"""A store of two groups that lost its data: each of them admits it anew, one after the other."""

from __future__ import annotations

from controlplane.node_plan import description_of
from regions.codec import FORMAT, Code
from regions.membership import GroupDescription, write_description
from tests.node.rig import Rig, Seat


def two_groups() -> tuple[Rig, Seat]:
    """Three stores that vote in g and in h; one node."""
    rig = Rig()
    del rig.seats["n1"]
    voters = {name: twin.state.incarnation for name, twin in rig.stores.items()}
    rig.also.append(GroupDescription("h", 1, rig.ttl_ms, voters, {}))
    for twin in rig.stores.values():
        install = ["install", "h", 1, write_description(rig.also[0])]
        reply = twin.call([FORMAT, twin.state.incarnation, "", 0], [install])
        assert reply.results[0][0] == Code.OK
    seat = rig.start("n1", ("n1",), life=2)
    rig.until(lambda: seat.serves("a"))
    return rig, seat


def reaches_all(seat: Seat) -> bool:
    return all(lane.is_up for group in seat.node.groups.values() for lane in group.lanes)


def versions(seat: Seat) -> dict[str, int]:
    return {name: group.version for name, group in seat.node.groups.items()}


def test_both_groups_admit_it_anew() -> None:
    rig, n1 = two_groups()
    rig.forget("s3")
    rig.until(lambda: versions(n1) == {"g": 2, "h": 2})
    rig.until(lambda: reaches_all(n1) and n1.serves("a"))


def test_a_node_that_starts_between_the_two_reaches_it_in_both() -> None:
    for first in ("g", "h"):
        rig, n1 = two_groups()
        before = {name: description_of(group.plan) for name, group in n1.node.groups.items()}
        rig.forget("s3")
        rig.until(lambda: 2 in versions(n1).values())  # noqa: B023
        present = description_of(n1.node.groups["g"].plan)
        assert present.version == 2
        rig.description, rig.also = present, [before["h"]]
        if first == "h":
            rig.description, rig.also = rig.also[0], [rig.description]
        del rig.seats["n1"]
        again = rig.start("n1", ("n1",), life=3)
        rig.until(lambda: versions(again) == {"g": 2, "h": 2})  # noqa: B023
        rig.until(lambda: reaches_all(again) and again.serves("a"))  # noqa: B023
