"""Edits of documents and their rollouts, as changes that are made on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from config.check import Edit, decide
from config.effect import read_target
from config.revision import (
    EDITION_KEY,
    PARTITION,
    Revision,
    head_key,
    read_revision,
    version_key,
)
from config.rollout import Phase, Rollout
from config.rollout_orders import Order, Unfit, ordered
from config.rollout_record import PREFIX, read_rollout
from config.strategy import DEFAULTS, Strategy, StrategyName
from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.problems import RequestRefused
from controlplane.requests import Compare, Found, Put, Read, Refused, Write, Written
from controlplane.rollouts.beginning import Beginnings, Wish
from controlplane.rollouts.book import RolloutBook
from controlplane.simulator.checkers.replay import Replay
from tests.steps.stage import Stage, node_of

TARGETS: Final = "{effect}/target/"
DOCUMENT: Final = "flags"
BAKE_MS: Final = 2_000
AT_ONCE: Final = replace(DEFAULTS[StrategyName.ALL_AT_ONCE], final_bake_ms=0)
REGION_BY_REGION: Final = replace(
    DEFAULTS[StrategyName.LINEAR], bake_ms=BAKE_MS, final_bake_ms=BAKE_MS
)


def records(replay: Replay) -> dict[str, Rollout]:
    """Every rollout as it is."""
    found = {}
    for key in replay.keys:
        if key.startswith(PREFIX) and (value := replay.value(key, replay.length)) is not None:
            found[key] = read_rollout(value.data)
    return found


def targets(replay: Replay) -> dict[str, list[tuple[int, int, int] | None]]:
    """Of every target, what it was, one after the other: version, rollout and step."""
    found: dict[str, list[tuple[int, int, int] | None]] = {}
    for key, timeline in replay.keys.items():
        if key.startswith(TARGETS):
            history = [None if value is None else value.data for value in timeline.values]
            read = [None if data is None else read_target(data) for data in history]
            found[key] = [t and (t.version, t.rollout, t.step) for t in read]
    return found


def rolled_out(replay: Replay) -> dict[str, Any]:
    """What must be the same of rollouts, whatever happened on the way."""
    found: dict[str, Any] = {"targets": targets(replay)}
    for key, each in records(replay).items():
        regions = [(r.region, r.before, r.reached, r.step) for r in each.regions]
        found[key] = (each.version, each.phase, each.wave, each.steps, regions)
    return found


async def write_revision(service: Service, name: str, content: Any, wall_ms: int) -> bool:
    """Make a revision with this content, unless it is the newest; whether it is, by now."""
    outcome = await service.submit(Read(SYSTEM, (head_key(name), EDITION_KEY)))
    if not isinstance(outcome, Found):
        return False
    head, edition = outcome.values
    feed = service.documents()
    if head is not None:
        feed = feed.with_one(read_revision(head.data))
        now = feed.get(name)
        if now is not None and now.content == content:
            return True
    number = 1 if edition is None else int(edition.data) + 1
    revision = decide(Edit(name, content, "", "ada", "", wall_ms), feed, number)
    assert isinstance(revision, Revision), revision
    keys = (head_key(name), version_key(name, revision.version))
    puts = [Put(PARTITION, key, revision.packed()) for key in keys]
    puts.append(Put(PARTITION, EDITION_KEY, str(number).encode()))
    compare = Compare(EDITION_KEY, 0 if edition is None else edition.version)
    return isinstance(await service.submit(Write(SYSTEM, tuple(puts), (compare,))), Written)


def roll_out(stage: Stage, name: str, content: Any, how: Strategy) -> None:
    """Give a document this content, and have it in force everywhere: one revision, one rollout."""

    async def work(service: Service) -> bool:
        gathered = service.gathered()
        if gathered is None or not await write_revision(service, name, content, stage.world.now_ms):
            return False
        beginnings = Beginnings(service, gathered)
        revision = await beginnings.book.revision(name, None)
        assert revision is not None
        shelf = await beginnings.book.shelf()
        if any(each.version == revision.version for each, _ in shelf.rollouts):
            return True
        wish = Wish(how, "ada", "", stage.world.now_ms, gates=())
        try:
            await beginnings.begin(revision, wish)
        except RequestRefused:
            return False
        return True

    stage.order(work)


def begin(stage: Stage) -> None:
    """Roll a document out, region by region."""
    roll_out(stage, DOCUMENT, {"blue": True}, REGION_BY_REGION)


def begin_and_abort(stage: Stage) -> None:
    """The same, and abort it in its second wave."""
    begin(stage)
    _order(stage, Order.ABORT, lambda rollout: rollout.wave == 1)


def _order(stage: Stage, order: Order, is_time: Callable[[Rollout], bool]) -> None:
    async def work(service: Service) -> bool:
        gathered = service.gathered()
        if gathered is None:
            return False
        book = RolloutBook(service)
        found = await book.rollout(1)
        if found is None or not is_time(found[0]):
            return found is not None and found[0].why != ""
        after = ordered(found[0], order, "ada", "")
        if isinstance(after, Unfit):
            return True
        outcome = await book.step(found[0], after, found[1], gathered.epoch)
        return not isinstance(outcome, Refused)

    stage.order(work)


def is_everywhere(stage: Stage) -> bool:
    """The rollout is over, and every living node runs what all are to run."""
    return _is_over(stage, Phase.SUCCEEDED) and _run_by_all(stage) == {1}


def is_nowhere(stage: Stage) -> bool:
    """The rollout went back, and no living node runs the version."""
    return _is_over(stage, Phase.ROLLED_BACK) and _run_by_all(stage) == {0}


def _is_over(stage: Stage, phase: Phase) -> bool:
    found = records(stage.replay(SYSTEM))
    return bool(found) and all(each.phase is phase for each in found.values())


def _run_by_all(stage: Stage) -> set[int]:
    found = set()
    for process in stage.fleet.processes.values():
        if process.alive:
            applied = node_of(process).feed.get(DOCUMENT)
            found.add(0 if applied is None else applied.version)
    return found
