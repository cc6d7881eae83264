"""`leadplane regions groups` and what changes groups: which stores decide together."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, access_at, fleet_access
from controlplane.cli.output import Column, format_option, output_options, show, table
from controlplane.cli.status import GROUPS

if TYPE_CHECKING:
    from rich.console import RenderableType

LOOK_S = 0.3
PATIENCE_S = 600.0
CHANGES = (
    *GROUPS,
    Column("VERSION", lambda g: g["version"], right=True),
    Column("CHANGE", lambda g: _change_text(g["change"]), sparse=True),
)


def _change_text(change: Any) -> str | None:
    if not change:
        return None
    return f"{change['state']}: {change['why']}" if change["why"] else str(change["state"])


@click.command("groups")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def list_groups(output: str, watch: bool, at: str | None) -> None:
    """List groups of stores: who votes, how many may be lost, and what is being changed.

    \b
    Example:
      leadplane regions groups
    """
    access = access_at(at)
    show(
        lambda: access.items("/v1/regions/groups"),
        lambda document, wide: table(CHANGES, document["items"], wide),
        output,
        watch,
    )


@click.command("make-group")
@click.argument("regions", nargs=-1, required=True)
@format_option
@click.option("--no-wait", is_flag=True, help="Do not wait until it is made.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and do nothing.")
@click.option("--reason", help="Kept with the order.")
def make_group(
    regions: tuple[str, ...], output: str, no_wait: bool, dry_run: bool, reason: str | None
) -> None:
    """Have a group with one voter in each of three or five REGIONS, for shards to move to.

    A plan that wants one has it made by itself.

    \b
    Example:
      leadplane regions make-group eu-central-1 us-east-1 ap-south-1 --dry-run
    """
    access = fleet_access()
    wanted = access.send(
        "POST",
        "/v1/regions/groups",
        query={"reason": reason, "dry_run": True if dry_run else None},
        headers={"Content-Type": "application/json"},
        body=json.dumps({"regions": list(regions)}).encode(),
    ).document()
    waited = not (no_wait or dry_run)
    if waited:
        _wait_for_group(access, wanted["group"])
    show(lambda: wanted, lambda document, wide: _made_told(document, waited), output)


def _wait_for_group(access: FleetAccess, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if any(g["group"] == name for g in access.items("/v1/regions/groups")["items"]):
            return
        time.sleep(LOOK_S)
    raise CommandFailed(
        f"{name} is not made after {PATIENCE_S:.0f} s", hint="see why with `leadplane status`"
    )


@click.command("drop-group")
@click.argument("group")
@format_option
@click.option("--dry-run", is_flag=True, help="Say whether it would be dropped, and do nothing.")
@click.option("--reason", help="Kept with the order.")
def drop_group(group: str, output: str, dry_run: bool, reason: str | None) -> None:
    """Let GROUP go, which was made or is still being made, and in which there is no shard.

    Its name is not used again: the next group of these regions has a number behind.

    \b
    Example:
      leadplane regions drop-group multi/eu-central-1+eu-west-1+us-east-1
    """
    dropped = (
        fleet_access()
        .send(
            "POST",
            f"/v1/regions/groups/{quote(group, safe='')}/drop",
            query={"reason": reason, "dry_run": True if dry_run else None},
            headers={"Content-Type": "application/json"},
            body=b"{}",
        )
        .document()
    )
    show(lambda: dropped, lambda document, wide: _dropped_told(document, dry_run), output)


def _dropped_told(document: Any, dry_run: bool) -> RenderableType:
    from rich.text import Text

    would = dry_run and not document["begun"]
    return Text(f"{document['group']} {'would be' if would else 'is'} dropped: {document['why']}.")


def _made_told(document: Any, waited: bool) -> RenderableType:
    from rich.text import Text

    voters, name = ", ".join(document["voters"]), document["group"]
    does = "vote" if waited else "are to vote" if document["begun"] else "vote, or would,"
    return Text(f"{voters} {does} in group {name}, with leases of {document['ttl_ms']:,} ms.")


@click.group("stores")
def stores() -> None:
    """Change which stores belong to a group, while it serves."""


def _order_options(command: Any) -> Any:
    for option in (
        format_option,
        click.option("--no-wait", is_flag=True, help="Do not wait until the new set is in use."),
        click.option("--dry-run", is_flag=True, help="Say what would be wanted, and do nothing."),
        click.option("--reason", help="Kept with the change."),
    ):
        command = option(command)
    return command


@stores.command("add")
@click.argument("group")
@click.argument("store")
@click.option("--follower", is_flag=True, help="It holds copies and does not vote.")
@_order_options
def add_store(group: str, store: str, follower: bool, **how: Any) -> None:
    """Add a STORE of the topology to GROUP.

    \b
    Example:
      leadplane regions stores add region/eu-central-1 eu-central-1-s4 --follower
    """
    _change(group, {"action": "add", "store": store, "follower": follower}, **how)


@stores.command("remove")
@click.argument("group")
@click.argument("store")
@_order_options
def remove_store(group: str, store: str, **how: Any) -> None:
    """Take STORE out of GROUP; its data stays where it is.

    \b
    Example:
      leadplane regions stores remove region/eu-central-1 eu-central-1-s4
    """
    _change(group, {"action": "remove", "store": store}, **how)


@stores.command("replace")
@click.argument("group")
@click.argument("store")
@click.option("--by", metavar="STORE", required=True, help="Comes instead; may be the same name.")
@_order_options
def replace_store(group: str, store: str, by: str, **how: Any) -> None:
    """Put another store in the place of STORE in GROUP.

    A store that lost its data is replaced by itself; Leadplane does that without being asked.

    \b
    Example:
      leadplane regions stores replace region/eu-central-1 eu-central-1-s2 --by eu-central-1-s4
    """
    _change(group, {"action": "replace", "store": store, "by": by}, **how)


def _change(group: str, body: dict[str, Any], **how: Any) -> None:
    _order(group, "changes", body, _told, **how)


@click.command("lease")
@click.argument("group")
@click.argument("ttl_ms", metavar="MS", type=click.IntRange(500, 60_000))
@_order_options
def change_lease(group: str, ttl_ms: int, **how: Any) -> None:
    """Let leases of GROUP last MS milliseconds, longer where measured round trips need it.

    A leader that falls silent is replaced after about that time. What round trips do not allow is
    refused.

    \b
    Example:
      leadplane regions lease region/eu-central-1 2000 --dry-run
    """
    _order(group, "lease", {"ttl_ms": ttl_ms}, _lease_told, **how)


@click.command("force-recover")
@click.argument("group")
@click.option("--accept-loss", is_flag=True, help="What only the lost stores knew may be gone.")
@_order_options
def force_recover(group: str, accept_loss: bool, **how: Any) -> None:
    """Make GROUP go on with what is left of it, when most of its stores lost their data.

    Nothing else brings such a group back, and WRITES THAT WERE ACKNOWLEDGED MAY BE LOST by it. See
    with --dry-run what is left, and bring back first whatever store still has its data.

    \b
    Example:
      leadplane regions force-recover region/eu-central-1 --dry-run
    """
    _order(group, "force-recover", {"accept_loss": accept_loss}, _force_told, **how)


def _order(
    group: str,
    what: str,
    body: dict[str, Any],
    told: Callable[[Any, bool], RenderableType],
    reason: str | None,
    dry_run: bool,
    no_wait: bool,
    output: str,
) -> None:
    """Send an order, wait until it is carried out unless nobody wants to, and tell what it did."""
    access = fleet_access()
    path = f"/v1/regions/groups/{quote(group, safe='')}"
    wanted = access.send(
        "POST",
        f"{path}/{what}",
        query={"reason": reason, "dry_run": True if dry_run else None},
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
    ).document()
    if wanted["begun"] and not no_wait:
        _wait(access, path, wanted)
    show(lambda: wanted, lambda document, wide: told(document, not no_wait), output)


def _lease_told(document: Any, waited: bool) -> RenderableType:
    from rich.text import Text

    head, lease = f"Leases of group {document['group']}", f"{document['ttl_ms']:,} ms"
    if not document["begun"]:
        return Text(f"{head} would last {lease} from version {document['version'] + 1} on.")
    return Text(f"{head} last {lease}." if waited else f"{head} are to last {lease}.")


def _force_told(document: Any, waited: bool) -> RenderableType:
    from rich.text import Text

    done = "vote now" if waited else "are wanted as voters"
    done = done if document["begun"] else "would vote"
    voters = ", ".join(document["voters"])
    return Text(f"Group {document['group']}: {voters} {done}.\n{document['lost']}")


def _wait(access: FleetAccess, path: str, wanted: dict[str, Any]) -> None:
    """Look until a later version is in use, and say how far it is whenever that changes."""
    deadline, told = time.monotonic() + PATIENCE_S, ""
    while time.monotonic() < deadline:
        group = access.get(path)
        if group["version"] > wanted["version"]:
            same = all(sorted(group[of]) == sorted(wanted[of]) for of in ("voters", "followers"))
            lease_ms = wanted.get("ttl_ms")  # what is forced keeps the lease
            if same and lease_ms in (None, group["ttl_ms"], group.get("set_ttl_ms")):
                return
            voters, followers = ", ".join(group["voters"]), ", ".join(group["followers"])
            follow = f", {followers} follow" if followers else ""
            raise CommandFailed(
                f"another change of {wanted['group']} came first: {voters} vote{follow}, "
                f"with leases of {group['ttl_ms']:,} ms",
                hint="look at `leadplane regions groups`, then order it again",
            )
        change = group["change"]
        if change and change["state"] == "given up":
            raise CommandFailed(f"nothing was done to {wanted['group']}: {change['why']}")
        now = _change_text(change) or "waiting for a node to take it up"
        if now != told:
            click.echo(f"{wanted['group']}: {now}", err=True)
            told = now
        time.sleep(LOOK_S)
    raise CommandFailed(
        f"the new store set of {wanted['group']} is not in use after {PATIENCE_S:.0f} s: {told}",
        hint="it goes on; watch `leadplane regions groups --watch`",
    )


def _told(document: Any, waited: bool) -> RenderableType:
    from rich.text import Text

    voters = ", ".join(document["voters"])
    head = f"Group {document['group']}:"
    if not document["begun"]:
        return Text(f"{head} {voters} would vote as version {document['version'] + 1}.")
    done = "vote now" if waited else "are wanted as voters"
    return Text(f"{head} {voters} {done}.")
