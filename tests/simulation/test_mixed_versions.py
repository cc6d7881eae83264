"""Nodes of an older release and of this one lead the same shards, in turn, and nothing breaks."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.node import Node
from controlplane.node_plan import NodePlan
from controlplane.simulator.process import PureNode
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset
from tests.simulation.other_release import Modules, OtherNode, modules_of, unpack_release

OLDER = "42d79bd"
"""From before elections went at a pace, and before reads went on while a leader stood again.
Releases have no numbers yet."""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Modules:
    tree: Path = tmp_path_factory.mktemp("older")
    if not unpack_release(OLDER, tree):
        pytest.skip(f"this clone has no commit {OLDER}")
    return modules_of(tree)


@pytest.mark.parametrize(("name", "seed"), [("zone", 1), ("zone", 2), ("five", 1), ("bulky", 1)])
def test_a_rolling_upgrade_breaks_nothing(theirs: Modules, name: str, seed: int) -> None:
    lives: Counter[bool] = Counter()
    led: Counter[bool] = Counter()

    def make(plan: NodePlan, draw: Callable[[], float], now_ms: int) -> PureNode:
        node, _, life = plan.process.partition("-")
        old = (int(node[1:]) + int(life)) % 2 == 0  # each life of a node is of the other release
        lives[old] += 1
        made: PureNode = OtherNode(theirs, plan, draw, now_ms) if old else Node(plan, draw, now_ms)
        claims = made.lease_claims

        def counted(now_ms: int) -> list[tuple[str, int, str]]:
            found = claims(now_ms)
            led[old] += bool(found)
            return found

        made.lease_claims = counted  # type: ignore[method-assign]
        return made

    report = simulate(seed, preset(name, minutes=0.5), make_node=make)
    assert not report.violations, "\n".join(report.lines())
    assert min(lives[True], lives[False], led[True], led[False]) > 0
