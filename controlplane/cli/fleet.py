"""`leadplane fleet`: start every node anew, one after the other, while the fleet serves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from controlplane.cli.connection import (
    LOCAL_FOLDER,
    CommandFailed,
    fleet_access,
    local_fleet,
)
from controlplane.process_identity import identity_of

if TYPE_CHECKING:
    from controlplane.rolling.restarting import Hook

Command = TypeVar("Command", bound=Callable[..., Any])
PROGRESS_FILE = "rolling.json"
HOOK_S_MAX = 600


@click.group()
def fleet() -> None:
    """Restart or upgrade a fleet, one node after the other."""


def _options(share: float) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--exec", "hook", metavar="COMMAND",
                help="Run for each node when it may be stopped: has to end its process and start "
                "another. Without it: a fleet that `leadplane up` runs on this machine.",
            ),
            click.option(
                "--dir", "path", type=click.Path(path_type=Path, file_okay=False),
                default=LOCAL_FOLDER, show_default=True, help="Of that fleet.",
            ),
            click.option("--node", "nodes", multiple=True, metavar="NODE", help="Only this one."),
            click.option(
                "--canary-share", type=click.FloatRange(0, 0.5), default=share, show_default=True,
                help="What part of all shards the first node leads for a while before it gets "
                "more; 0: nothing is tried out.",
            ),
            click.option(
                "--bake-s", type=click.FloatRange(1, 86_400), default=600, show_default=True,
                help="For how long.",
            ),
            click.option(
                "--patience-s", type=click.FloatRange(1, 86_400), default=600, show_default=True,
                help="Give up when anything takes longer.",
            ),
            click.option(
                "--deadline-s", type=click.FloatRange(1, 2_592_000), metavar="SECONDS",
                help="For the drain of each node.",
            ),
            click.option(
                "--despite", multiple=True, type=click.Choice(["last-candidate", "last-of-region"]),
                help="Stop a node although.",
            ),
            click.option(
                "--state", type=click.Path(path_type=Path, dir_okay=False),
                help="Where it is kept how far it is.  [default: rolling.json of --dir]",
            ),
        ):  # fmt: skip
            command = option(command)
        return command

    return add


@fleet.command("restart")
@_options(0.0)
def restart(**wishes: Any) -> None:
    """Start every node anew: those that lead least first, the global leader's last.

    Each is drained, stopped when nobody would miss it, waited for, and let lead again. Interrupted,
    the same command goes on where it was.

    \b
    Examples:
      leadplane fleet restart
      leadplane fleet restart --node eu-central-1-n1 --exec ./restart-node
    """
    _run(**wishes)


@fleet.command("upgrade")
@_options(0.01)
def upgrade(**wishes: Any) -> None:
    """The same for a new version: the first node leads a few shards first.

    It hands them back by itself when its leadership is not steady, and that ends the upgrade.

    \b
    Example:
      leadplane fleet upgrade --canary-share 0.02 --bake-s 300
    """
    _run(**wishes)


def _run(
    hook: str | None,
    path: Path,
    nodes: tuple[str, ...],
    canary_share: float,
    bake_s: float,
    patience_s: float,
    deadline_s: float | None,
    despite: tuple[str, ...],
    state: Path | None,
) -> None:
    from controlplane.rolling.restarting import Restarting, Wishes
    from controlplane.rolling.sequence import Limits

    limits = Limits(canary_share, round(bake_s * 1_000), round(patience_s * 1_000))
    deadline_ms = None if deadline_s is None else round(deadline_s * 1_000)
    wishes = Wishes(limits, nodes, despite, deadline_ms)
    stop_node = _by_command(hook) if hook else _by_signal(path)
    if hook is None:
        local_fleet(path)  # says so when there is none
    if state is None:
        path.mkdir(parents=True, exist_ok=True)
        state = path / PROGRESS_FILE
    tell = lambda line: click.echo(line, err=True)  # noqa: E731
    Restarting(fleet_access(), wishes, stop_node, state, tell).run()


def _by_command(command: str) -> Hook:
    """Whatever runs the nodes: told in the environment which one."""

    def stop(node: Mapping[str, Any]) -> None:
        named = {"NODE": node["node"], "REGION": node["region"], "NODE_URL": node["url"]}
        env = {**os.environ, **{f"LEADPLANE_{name}": str(each) for name, each in named.items()}}
        try:
            words = ["/bin/sh", "-c", command]
            done = subprocess.run(words, check=False, env=env, timeout=HOOK_S_MAX)
        except subprocess.TimeoutExpired as late:
            raise CommandFailed(
                f"the command for {node['node']} did not end in {HOOK_S_MAX} s", command
            ) from late
        if done.returncode:
            raise CommandFailed(
                f"the command for {node['node']} ended with status {done.returncode}", command,
                "see whether the node runs, then run this again: it goes on there",
            )  # fmt: skip

    return stop


def _by_signal(path: Path) -> Hook:
    """A fleet of this machine: its supervisor starts again what ends."""

    def stop(node: Mapping[str, Any]) -> None:
        running = {each["id"]: each["pid"] for each in local_fleet(path)["nodes"]}
        pid = running.get(node["node"])
        process = identity_of(pid) if pid is not None else None
        if process is None or not process.signal(signal.SIGTERM):
            raise CommandFailed(f"{node['node']} does not run", str(path))

    return stop
