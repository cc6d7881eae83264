"""A network of its own for every process: namespaces of the kernel, and a router between them.

The router is a namespace, too, and the runner moves into it, so that clients reach every node while
nothing is added to the machine's own network. Each site has one address behind a pair of virtual
interfaces. A cut is a table of nftables in the router that drops packets from one address to
another and counts them; it is deleted by its name. Everything is named after the runner's pid, and
what a runner that died has left is removed by the next one.

Needs root, `ip` and `nft`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from controlplane.chaos.ways import Hindrance, Pairs
from controlplane.child_process import Surroundings
from controlplane.errors import ChaosImpossible
from regions.topology import Topology

PREFIX = "lpchaos"
_NAME = re.compile(rf"{PREFIX}-(\d+)-\S+")
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Why namespaces cannot be used here, "" where they can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if missing := [program for program in ("ip", "nft") if shutil.which(program) is None]:
        return f"there is no {' and no '.join(missing)} on PATH"
    probe = f"{PREFIX}-{os.getpid()}-probe"
    try:
        _run("ip", "netns", "add", probe)
        _run("ip", "netns", "exec", probe, "nft", "add", "table", "ip", "probe")
    except ChaosImpossible as error:
        return str(error.args[0])
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=False, capture_output=True)
    return ""


@contextmanager
def separated(topology: Topology) -> Iterator[tuple[Topology, Namespaces]]:
    """Give the topology with an address for each site, and the network that connects them.

    While the block runs, this thread and all that it starts are in the router. Raises
    ChaosImpossible.
    """
    remove_abandoned()
    names = [*(node.id for node in topology.nodes), *(store.id for store in topology.stores)]
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    made: list[str] = []
    try:
        network = _build(names, made)
        yield network.placed(topology), network
    finally:
        if _LIBC.setns(home, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot go back to the network of before")
        os.close(home)
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def remove_abandoned() -> list[str]:
    """Remove the namespaces of runners that are gone; name them."""
    found = _run("ip", "netns", "list").split("\n")
    gone = []
    for line in found:
        match = _NAME.match(line)
        if match and not Path(f"/proc/{match[1]}").exists():
            _run("ip", "netns", "del", match[0])
            gone.append(match[0])
    return gone


class Namespaces:
    """The ways between sites that have a namespace each."""

    def __init__(self, addresses: Mapping[str, str], spaces: Mapping[str, str]) -> None:
        """Addresses and namespaces, by site."""
        self._addresses = addresses
        self._spaces = spaces

    def placed(self, topology: Topology) -> Topology:
        """The same topology at these addresses."""
        at = self._addresses
        return topology.model_copy(
            update={
                part: tuple(site.model_copy(update={"host": at[site.id]}) for site in sites)
                for part, sites in (("nodes", topology.nodes), ("stores", topology.stores))
            }
        )

    def within(self) -> dict[str, Surroundings]:
        """What each site's process is started by."""
        return {
            site: Surroundings(command=("ip", "netns", "exec", space))
            for site, space in self._spaces.items()
        }

    async def cut(self, name: str, pairs: Pairs) -> None:
        """Drop every packet on these ways from now on."""
        at = self._addresses
        rules = [
            f"ip saddr {at[a]} ip daddr {at[b]} counter drop" for a, b in sorted(pairs) if a != b
        ]
        chain = "type filter hook forward priority 0; policy accept;"
        lines = [f"table ip {name} {{", "chain forward {", chain, *rules, "}", "}"]
        await asyncio.to_thread(_run, "nft", "-f", "-", said="\n".join(lines))

    async def mend(self, name: str, *, loses: bool) -> str:
        """Let packets pass. What was lost is sent again by the kernels, unless it is too late."""
        table = await asyncio.to_thread(_run, "nft", "list", "table", "ip", name)
        await asyncio.to_thread(_run, "nft", "delete", "table", "ip", name)
        dropped = sum(int(n) for n in re.findall(r"counter packets (\d+)", table))
        return f"{dropped:,} packets were dropped by nftables"

    async def hamper(self, name: str, sites: Collection[str], how: Hindrance) -> None:
        """Not here: the proxy does that."""
        raise ChaosImpossible("ways between namespaces can be cut, not hampered")

    async def ease(self, name: str) -> None:
        """Nothing was hampered."""

    async def snap(self, sites: Collection[str]) -> None:
        """Not here: the proxy does that."""
        raise ChaosImpossible("connections between namespaces cannot be broken off")


def _build(sites: Sequence[str], made: list[str]) -> Namespaces:
    """Make the router and a namespace for each site; `made` names what is to be removed."""
    router = f"{PREFIX}-{os.getpid()}-router"
    _add(router, made)
    addresses, spaces = {}, {}
    for number, site in enumerate(sites):
        space, gate = f"{PREFIX}-{os.getpid()}-{number}", f"10.213.{number}.0"
        inner, outer = "eth0", f"site{number}"
        _add(space, made)
        link = ("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
        _run("ip", "-n", router, *link)
        addresses[site], spaces[site] = f"10.213.{number}.1", space
        for where, device, address in ((router, outer, gate), (space, inner, addresses[site])):
            _run("ip", "-n", where, "addr", "add", f"{address}/31", "dev", device)
            _run("ip", "-n", where, "link", "set", device, "up")
        _run("ip", "-n", space, "route", "add", "default", "via", gate)
    space_path = Path("/run/netns") / router
    with space_path.open("rb") as entry:
        if _LIBC.setns(entry.fileno(), _CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise ChaosImpossible(f"cannot move into a network namespace: {reason}")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    return Namespaces(addresses, spaces)


def _add(name: str, made: list[str]) -> None:
    _run("ip", "netns", "add", name)
    made.append(name)
    _run("ip", "-n", name, "link", "set", "lo", "up")


def _run(*words: str, said: str = "") -> str:
    """Run a command to its end; give what it printed. Raises ChaosImpossible with its complaint."""
    done = subprocess.run(words, input=said, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = done.stderr.strip() or f"status {done.returncode}"
        raise ChaosImpossible(f"`{' '.join(words)}` failed: {complaint}")
    return done.stdout
