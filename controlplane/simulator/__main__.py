"""Run seeds from a shell: `python -m controlplane.simulator --seeds 1-20 --scenario zone`.

The exit status is 1 when a seed had a violation. `--until-caught` stops at the first such seed.
"""

from __future__ import annotations

import argparse
import sys

from controlplane.simulator.runner import run_seeds
from controlplane.simulator.scenario import PRESETS, preset


def main(arguments: list[str]) -> int:
    """Parse the command line and run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.simulator")
    parser.add_argument("--seeds", default="1-10", help="first-last, both included")
    parser.add_argument("--scenario", default="zone", choices=sorted(PRESETS))
    parser.add_argument("--minutes", type=float, default=None, help="of trouble, in each run")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first violation")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    scenario = preset(options.scenario, options.minutes)
    if not options.until_caught:
        return min(1, run_seeds(seeds, scenario, _say))
    for seed in seeds:
        if run_seeds([seed], scenario, _say):
            return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
