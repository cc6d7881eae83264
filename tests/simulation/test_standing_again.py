"""Leaders that stand again for no reason, right before they are read: allowed at any time."""

from collections import Counter
from collections.abc import Callable

import pytest

from controlplane.node import Node
from controlplane.node.group import Group
from controlplane.node_plan import NodePlan
from controlplane.requests import Read, Request, Scan
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset
from shards.leadership import Leadership


class Restless:
    """Makes nodes of that kind, and counts what they do."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def make(self, plan: NodePlan, draw: Callable[[], float], now_ms: int) -> Node:
        """A node that stands again before every other strong read of what it leads."""
        node = Node(plan, draw, now_ms)
        submit = node.serving.submit

        def again_first(
            group: Group, leadership: Leadership, number: int, request: Request, now_ms: int
        ) -> None:
            if isinstance(request, Read | Scan) and leadership.serves(now_ms) and draw() < 0.5:
                node.standing[group.group].again(leadership, now_ms)
                self.counts["stood again"] += 1
                self.counts["read on"] += leadership.reads_on(now_ms)
            submit(group, leadership, number, request, now_ms)

        node.serving.submit = again_first  # type: ignore[method-assign]
        return node


@pytest.mark.parametrize(("name", "seeds"), [("zone", (1, 2, 3)), ("five", (1,)), ("wide", (1,))])
def test_strong_reads_go_on_and_miss_nothing(name: str, seeds: tuple[int, ...]) -> None:
    restless = Restless()
    for seed in seeds:
        report = simulate(seed, preset(name, minutes=0.3), make_node=restless.make)
        assert not report.violations, "\n".join(report.lines())
        assert report.outcomes["Found"] > 0
    assert restless.counts["read on"] > 20
