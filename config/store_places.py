"""Where stores are, as the documents of regions say: which one is where, and at what address.

The topology says it of the stores that a fleet begins with, and its word stands. What a document
says of another store holds for all nodes, from the revision on. A store of a group stays where it
is: what is somewhere else, or nowhere, could not be told from a store that is down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.document import Kind, kind_of, region_of
from config.feed import Feed
from regions.findings import Finding, Severity, pointer_to
from regions.store import StoreAddress

LABEL_CHARACTERS_MAX: Final = 63
LOCAL_NAMES: Final = {"localhost": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class KnownStore:
    """Where a node knows a store to be; `users` are the groups that it belongs to, or shall."""

    address: StoreAddress | None
    in_topology: bool
    users: tuple[str, ...]


def stores_placed(content: Mapping[str, Any]) -> Iterator[tuple[str, str, StoreAddress]]:
    """Of one region's document every store that has an address: its name, its zone, and that."""
    for store in content.get("stores", ()):
        address = _address_in(store)
        if address is not None:
            yield store["id"], store["zone"], address


def check_addresses(region: str, feed: Feed) -> Iterator[Finding]:
    """Addresses that are none, and those that another store has by the documents alone."""
    regions = feed.regions()
    taken = {
        _same(address): store
        for other, content in regions.items()
        if other != region
        for store, _, address in stores_placed(content)
    }
    for at, store in enumerate(regions[region].get("stores", ())):
        address = _address_in(store)
        if address is None:
            continue
        if not _may_be_host(address.host):
            yield _error(f"{address.host} is no host", "write a name or an address", at, "host")
        other = taken.setdefault(_same(address), store["id"])
        if other != store["id"]:
            message = f"{address} is the address of {other} already"
            yield _error(message, "give each store an address of its own", at, "port")


def contradicted(name: str, after: Feed, known: Mapping[str, KnownStore]) -> Iterator[Finding]:
    """What a region's document says otherwise than the topology, which is right."""
    taken = {
        _same(each.address): store
        for store, each in known.items()
        if each.in_topology and each.address is not None
    }
    for at, store in _listed(name, after):
        address, here = _address_in(store), known.get(store["id"])
        if address is None:
            continue
        if here is not None and here.in_topology:
            if here.address is not None and _differs(address, here.address):
                message = f"the topology has {store['id']} at {_shown(here.address)}"
                hint = "leave host, port and tls out, or write the same"
                yield _error(message, hint, at, "host")
        elif _same(address) in taken:
            message = f"{address} is the address of {taken[_same(address)]} in the topology"
            yield _error(message, "give each store an address of its own", at, "port")


def moved(name: str, after: Feed, known: Mapping[str, KnownStore]) -> Iterator[Finding]:
    """Stores in use that a region's document would have elsewhere, or at no address any more."""
    for at, store in _listed(name, after):
        here = known.get(store["id"])
        if here is None or here.in_topology or here.address is None or not here.users:
            continue
        address = _address_in(store)
        if address is None or _differs(address, here.address):
            message = (
                f"store {store['id']} belongs to {', '.join(here.users)} "
                f"and is at {_shown(here.address)}"
            )
            hint = "take the store out of its groups first: `leadplane regions stores remove`"
            yield _error(message, hint, at, *(("host",) if address is not None else ()))


def _listed(name: str, feed: Feed) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The stores of a document, with their numbers, if it is a region's."""
    content = feed.region(region_of(name)) if kind_of(name) is Kind.REGION else None
    return enumerate((content or {}).get("stores", ()))


def _address_in(store: Mapping[str, Any]) -> StoreAddress | None:
    if "host" not in store or "port" not in store:
        return None
    return StoreAddress(store["host"], store["port"], tls=store.get("tls", False))


def _same(address: StoreAddress) -> tuple[str, int]:
    host = address.host.lower()
    return LOCAL_NAMES.get(host, host), address.port


def _differs(one: StoreAddress, other: StoreAddress) -> bool:
    return (_same(one), one.tls) != (_same(other), other.tls)


def _shown(address: StoreAddress) -> str:
    return f"{address}{', with TLS' if address.tls else ''}"


def _may_be_host(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return ":" in host or all(0 < len(label) <= LABEL_CHARACTERS_MAX for label in labels)


def _error(message: str, hint: str, at: int, *field: str) -> Finding:
    return Finding(Severity.ERROR, pointer_to("stores", at, *field), message, hint)
