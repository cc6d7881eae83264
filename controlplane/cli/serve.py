"""`leadplane serve`: one node, until it is told to stop."""

from __future__ import annotations

import traceback
from pathlib import Path

import click

BROKEN = 70
"""The exit status when the node found an invariant broken: EX_SOFTWARE of sysexits.h."""


@click.command("serve")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The node's settings file.",
)
@click.option(
    "--insecure-listen-any-address",
    "any_address",
    is_flag=True,
    help="Accept an address that others can reach, though nobody is asked who they are.",
)
@click.pass_context
def serve(ctx: click.Context, path: Path, any_address: bool) -> None:
    """Run one node as its settings file says.

    On SIGTERM or SIGINT it hands over every shard it leads, then ends with status 0.

    \b
    Example:
      leadplane serve --config node.yaml
    """
    # Imported late: `leadplane serve --help` need not load any of it.
    import asyncio

    import uvloop

    from controlplane.errors import first_cause
    from controlplane.runtime.collection import collect_seldom
    from controlplane.runtime.process import run_node
    from controlplane.settings import load_settings
    from controlplane.telemetry.lifecycle_log import set_up_logging
    from regions.errors import LeadplaneError

    settings = load_settings(path)
    set_up_logging(settings.node, settings.log_level)
    collect_seldom()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_node(settings, any_address=any_address))
    except Exception as error:
        cause = first_cause(error)
        if isinstance(cause, LeadplaneError):
            raise cause from None
        click.echo("".join(traceback.format_exception(cause, chain=False)), err=True)
        click.echo(
            "leadplane: this node found something that must not be, and stopped rather than go on\n"
            "  its shards pass to other nodes; keep the lines above, they say what it was",
            err=True,
        )
        ctx.exit(BROKEN)
