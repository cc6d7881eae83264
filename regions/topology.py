"""The topology document: which places exist, which stores stand there, and who agrees with whom.

Everything that can fail together is named here: a store is in a zone, a zone in a region. A group
is a set of stores that agree by majority. Two kinds follow from the places and need not be written
down: `global` spans the regions, `region/<name>` spans the zones of one region.

These models say what a document is made of. Whether it makes sense is `topology_check`'s business,
how to read and write it `topology_file`'s, and which groups follow from it `topology_groups`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from regions.latency import quorum_round_trip_ms
from regions.store import StoreAddress

GLOBAL_GROUP: Final = "global"
REGION_GROUP_PREFIX: Final = "region/"
MULTI_GROUP_PREFIX: Final = "multi/"
MULTI_GROUP_AGAIN: Final = "~"
"""What follows on it is how often a group of these regions was made: no name is used twice."""
ZONE_RTT_MS: Final = 1.0
"""Assumed round trip between two zones of a region, where the matrix does not give one."""

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""Lower-case letters, digits and inner hyphens, at most 63: fit for host names, paths, labels."""
GroupName = Annotated[
    str, Field(pattern=r"^(global|(region/|multi/)?[a-z0-9]([a-z0-9+-]{0,125}[a-z0-9])?)$")
]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Matrix = Mapping[Name, Mapping[Name, Finite]]
"""A figure for each ordered pair of regions: from the outer name to the inner one."""


class _Part(BaseModel):
    """How every part of the document behaves: immutable, and strict about fields and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Region(_Part):
    """A place that can be lost as a whole."""

    name: Name
    location: str = Field(default="", max_length=100)
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    zones: tuple[Name, ...] = Field(min_length=1, max_length=26, strict=False)


class StoreSite(_Part):
    """One Valkey or Redis process: where it stands and where it answers."""

    id: Name
    region: Name
    zone: Name
    host: Host
    port: Port
    tls: bool = False

    @property
    def address(self) -> str:
        """Host and port as one word."""
        return address_of(self.host, self.port)

    @property
    def listens_at(self) -> StoreAddress:
        """Where a lane to it leads."""
        return StoreAddress(self.host, self.port, tls=self.tls)


class NodeSite(_Part):
    """One Leadplane process: where it stands and where it serves HTTP."""

    id: Name
    region: Name
    zone: Name | None = None
    host: Host
    port: Port

    @property
    def address(self) -> str:
        """Host and port as one word."""
        return address_of(self.host, self.port)

    @property
    def url(self) -> str:
        """Where this node answers HTTP."""
        return f"http://{self.address}"


class Group(_Part):
    """Stores that agree by majority, and others that only follow. The order of stores is kept."""

    name: GroupName
    stores: tuple[Name, ...] = Field(min_length=1, max_length=9, strict=False)
    followers: tuple[Name, ...] = Field(default=(), max_length=64, strict=False)
    ttl_ms: int = Field(ge=1, le=600_000)

    @property
    def quorum(self) -> int:
        """How many of the stores must agree."""
        return len(self.stores) // 2 + 1


class Topology(_Part):
    """The whole document. After `load_topology` its groups are complete and its names resolve."""

    format: Literal[1] = 1
    regions: tuple[Region, ...] = Field(min_length=1, max_length=64, strict=False)
    stores: tuple[StoreSite, ...] = Field(min_length=1, max_length=512, strict=False)
    nodes: tuple[NodeSite, ...] = Field(default=(), max_length=4_096, strict=False)
    groups: tuple[Group, ...] = Field(default=(), max_length=512, strict=False)
    rtt_ms: Matrix = Field(default_factory=dict)
    egress_usd_per_gb: Matrix = Field(default_factory=dict)

    def region(self, name: str) -> Region:
        """Give the region of that name. Raises KeyError."""
        return {region.name: region for region in self.regions}[name]

    def store(self, store_id: str) -> StoreSite:
        """Give the store of that id. Raises KeyError."""
        return {store.id: store for store in self.stores}[store_id]

    def node(self, node_id: str) -> NodeSite:
        """Give the node of that id. Raises KeyError."""
        return {node.id: node for node in self.nodes}[node_id]

    def group(self, name: str) -> Group:
        """Give the group of that name. Raises KeyError."""
        return {group.name: group for group in self.groups}[name]

    def stores_in(self, region: str) -> tuple[StoreSite, ...]:
        """Give the stores of a region, in the document's order."""
        return tuple(store for store in self.stores if store.region == region)

    def nodes_in(self, region: str) -> tuple[NodeSite, ...]:
        """Give the nodes of a region, in the document's order."""
        return tuple(node for node in self.nodes if node.region == region)

    def round_trip_ms(self, from_region: str, to_region: str) -> float:
        """Give the round trip between two regions, or between zones of one. Raises KeyError."""
        if from_region == to_region:
            return self.rtt_ms.get(from_region, {}).get(to_region, ZONE_RTT_MS)
        return self.rtt_ms[from_region][to_region]

    def quorum_round_trip_ms(self, voters: tuple[str, ...]) -> float:
        """Give the worst round trip that a majority of these stores takes from a region of theirs.

        A leader may stand in any region that votes, so the slowest of them sets the pace. Raises
        KeyError for an unknown store or a hole in the matrix.
        """
        places = [self.store(voter).region for voter in voters]
        return max(
            quorum_round_trip_ms(self.round_trip_ms(here, there) for there in places)
            for here in set(places)
        )


def address_of(host: str, port: int) -> str:
    """Join host and port; an IPv6 address is put in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
