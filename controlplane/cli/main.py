"""The command `leadplane`: knows every command by name, and loads only the one that is used.

`COMMANDS` is the registry. A command lives in a module of its own, is named here with one line of
help, and is imported when it runs, so that `leadplane --help` imports nothing but click.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("controlplane.cli.up:up", "Start a complete fleet on this machine."),
    "down": ("controlplane.cli.down:down", "Stop a fleet that runs in the background."),
    "serve": ("controlplane.cli.serve:serve", "Run one node."),
    "tour": ("controlplane.cli.tour:tour", "See a fleet lose a leader and nothing else."),
    "status": ("controlplane.cli.status:status", "The whole fleet on one page."),
    "topology": ("controlplane.cli.topology:topology", "Regions, zones, nodes, stores: a tree."),
    "top": ("controlplane.cli.top:top", "The fleet on a screen, looked through by keys."),
    "doctor": ("controlplane.cli.doctor:doctor", "What is wrong, and what to do first."),
    "shards": ("controlplane.cli.shards:shards", "Who leads what; transfer and evict."),
    "regions": ("controlplane.cli.regions:regions", "Nodes and stores of each region; edit them."),
    "placement": ("controlplane.cli.placement:placement", "Who asks for what, and from how far."),
    "nodes": ("controlplane.cli.nodes:nodes", "Who is there, and leads how much; drain."),
    "fleet": ("controlplane.cli.fleet:fleet", "Restart or upgrade it, one node after the other."),
    "config": ("controlplane.cli.documents:config", "The fleet's documents; edit and compare."),
    "flags": ("controlplane.cli.flags:flags", "Feature flags in force; evaluate one."),
    "rollouts": ("controlplane.cli.rollouts:rollouts", "How edits take effect, wave after wave."),
    "events": ("controlplane.cli.events:events", "What happened in the fleet, and when."),
    "history": ("controlplane.cli.shards:shard_history", "Who led a shard when, and why no more."),
    "report": ("controlplane.cli.report:report", "How a week was, beside the week before."),
    "postmortem": ("controlplane.cli.postmortem:postmortem", "An incident, as a page to fill in."),
    "audit": ("controlplane.cli.audit:audit", "What was changed, by whom, why; and is it whole?"),
    "fenced": ("controlplane.cli.fenced:fenced", "Writes that lost their leader; put them again."),
    "route": ("controlplane.cli.route:route", "Where a key lives, and where to go for it."),
    "kv": ("controlplane.cli.kv:kv", "Put, get, delete and scan keys."),
    "debug": ("controlplane.cli.debug:debug", "What is needed to look into a fleet, in a file."),
    "backup": ("controlplane.cli.backup:backup", "All that the stores hold, in one file."),
    "restore": ("controlplane.cli.backup:restore", "New stores, made from such a file."),
    "bench": ("controlplane.cli.bench:bench", "Measure, with the peer beside us."),
    "chaos": ("controlplane.cli.chaos:chaos", "Break a real fleet, and judge what came of it."),
    "simulate": ("controlplane.cli.simulate:simulate", "Fleets in virtual time, with faults."),
    "check-config": ("controlplane.cli.check_config:check_config", "Check a topology document."),
}
"""From a command's name to `module:function` and one line of help, in the order of the help."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


class LazyGroup(click.Group):
    """A group whose commands are looked up in `COMMANDS` and imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command), COMMANDS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. Commands: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leadplane")
def cli() -> None:
    """Exactly one leader for every piece of your system, and a way to find it."""


def main() -> NoReturn:
    """Run the command line and exit. Errors are one message on stderr and a non-zero status."""
    try:
        status = cli.main(prog_name="leadplane", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; whatever is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "code") or not hasattr(error, "hint"):
            raise
        click.echo(_told(error), err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _told(error: Exception) -> str:
    """Say what an error of ours says: what, what to do next, the end of a log if it has one."""
    lines = [f"error: {error.args[0] if error.args else type(error).__name__}"]
    if hint := str(getattr(error, "hint", "")):
        lines.append(f"  next: {hint}")
    lines += [f"    {line}" for line in str(getattr(error, "log_tail", "")).splitlines()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
