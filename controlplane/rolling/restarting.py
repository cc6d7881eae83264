"""Carries a rolling restart out, by the API alone, whatever starts and stops the nodes.

What a look meets (a node that is just gone, an election) is waited for. A node is stopped by a hook
of the caller, after the fleet said that nobody would miss it (`stoppable`) and promised so to
everybody else who asks; once the node is back, the promise is taken back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    OutcomeUnknown,
    Problem,
    Unreachable,
)
from controlplane.rolling.sequence import (
    Drain,
    DrainSight,
    Finished,
    GiveUp,
    LetLead,
    LetLeadFew,
    Limits,
    NodeSight,
    Progress,
    Sequence,
    Sight,
    Stop,
    Wait,
    read_progress,
)

LOOK_S: Final = 0.5
REASON: Final = "rolling restart"
Hook = Callable[[Mapping[str, Any]], None]
"""Ends the process of a node (as `/v1/nodes` shows it) so that another one is started; raises
CommandFailed when it could not."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be restarted, and how.

    `nodes`: only these, all if empty. `despite`: obstacles of `stoppable` that do not matter.
    """

    limits: Limits
    nodes: tuple[str, ...] = ()
    despite: tuple[str, ...] = ()
    drain_deadline_ms: int | None = None
    promise_ms: int = 600_000


class Restarting:
    """One run over a fleet."""

    def __init__(
        self,
        access: FleetAccess,
        wishes: Wishes,
        stop_node: Hook,
        state_path: Path,
        tell: Callable[[str], None],
    ) -> None:
        self._access = access
        self._wishes = wishes
        self._stop_node = stop_node
        self._state_path = state_path
        self._tell = tell
        self._told = ""
        self._nodes: dict[str, Mapping[str, Any]] = {}

    def run(self) -> None:
        """To the end. Raises CommandFailed where it cannot go on; run again, it goes on there."""
        sequence = Sequence(self._wishes.limits, self._begun())
        since_s = monotonic()
        while True:
            try:
                sight = self._look(sequence.progress.at)
                since_s = monotonic()
            except (Problem, Unreachable) as trouble:
                if (monotonic() - since_s) * 1_000 > self._wishes.limits.patience_ms:
                    raise
                self._say(sequence.progress, f"nobody can say: {trouble.message}")
                sleep(LOOK_S)
                continue
            action = sequence.decide(sight, round(monotonic() * 1_000))
            if isinstance(action, Finished):
                self._state_path.unlink(missing_ok=True)
                self._say(sequence.progress, "every node runs anew")
                return
            self._carry_out(sequence, action)
            self._keep(sequence.progress)

    def _carry_out(self, sequence: Sequence, action: Any) -> None:
        progress = sequence.progress
        match action:
            case Wait(why):
                self._say(progress, why)
                sleep(LOOK_S)
            case GiveUp(why):
                self._keep(progress)
                raise CommandFailed(
                    f"the restart stands still: {why}",
                    f"{len(progress.done)} of {len(progress.began)} nodes done",
                    f"mend it and run this again: it goes on from {self._state_path}",
                )
            case Drain(node):
                body = {}
                if self._wishes.drain_deadline_ms is not None:
                    body["deadline_ms"] = self._wishes.drain_deadline_ms
                self._order(node, "drain", body)
            case LetLeadFew(node, share):
                if self._order(node, "undrain", {"canary_share": share}) is not None:
                    sequence.leads_few()
            case LetLead(node):
                self._order(node, "undrain", {})
                self._order(node, "stoppable", {"promise_ms": 0})
            case Stop(node):
                self._stop(sequence, node)

    def _stop(self, sequence: Sequence, node: str) -> None:
        found = self._order(node, "stoppable", {"promise_ms": self._wishes.promise_ms})
        if found is None:
            return
        reasons = [r for r in found["reasons"] if r["why"] not in self._wishes.despite]
        if reasons:
            why = "; ".join(reason["detail"] for reason in reasons)
            self._carry_out(sequence, sequence.held(why, round(monotonic() * 1_000)))
            return
        self._say(sequence.progress, "is stopped")
        # Written down first: to stop a node twice is worse than to look once more.
        sequence.stopped()
        self._keep(sequence.progress)
        try:
            self._stop_node(self._nodes[node])
        except CommandFailed:
            sequence.not_stopped()
            self._keep(sequence.progress)
            raise

    def _order(self, node: str, act: str, body: Mapping[str, Any]) -> Any:
        """What the fleet answers; None when it cannot just now. Raises CommandFailed."""
        headers = {"Content-Type": "application/json"}
        query = {"reason": REASON}
        try:
            reply = self._beside(node).send(
                "POST", f"/v1/nodes/{node}/{act}", query, headers, json.dumps(body).encode()
            )
        except Problem as problem:
            if problem.document.get("retry_after_ms") is None:
                raise
            sleep(LOOK_S)
            return None
        except (Unreachable, OutcomeUnknown):  # every order may be given twice
            sleep(LOOK_S)
            return None
        return reply.document()

    def _beside(self, node: str | None) -> FleetAccess:
        """The fleet without the node in hand, which may know nothing yet."""
        urls = tuple(str(row["url"]) for name, row in self._nodes.items() if name != node)
        return replace(self._access, urls=urls) if urls else self._access

    # -- what there is to see

    def _look(self, at: str | None) -> Sight:
        """The fleet as it is. Raises Problem, Unreachable."""
        access = self._beside(at)
        status = access.get("/v1/status")
        rows = access.items("/v1/nodes")["items"]
        self._nodes = {row["node"]: row for row in rows}
        drains = access.get("/v1/placement")["drains"]
        leader = status["global_leader"]
        return Sight(
            tuple(self._seen(row) for row in rows),
            {each["name"]: _drain(each) for each in drains if each["scope"] == "node"},
            leader["node"] if leader else None,
            status["shards_total"],
            status["shards_led"],
        )

    def _seen(self, row: Mapping[str, Any]) -> NodeSight:
        ready = row["alive"] and self._is_ready(row["url"])
        return NodeSight(row["node"], row["process"], row["alive"], row["leads"], ready)

    def _is_ready(self, url: str) -> bool:
        try:
            self._access.only(url).get("/readyz")
        except CommandFailed:
            return False
        return True

    # -- how far it is

    def _begun(self) -> Progress:
        """What another run left, or the beginning. Raises CommandFailed."""
        if self._state_path.exists():
            try:
                found = read_progress(json.loads(self._state_path.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CommandFailed(
                    f"this is not how far a restart is: {error}", str(self._state_path),
                    "remove it to begin anew",
                ) from error  # fmt: skip
            self._tell(f"goes on: {len(found.done)} of {len(found.began)} nodes done")
            return found
        rows = self._access.items("/v1/nodes")["items"]
        wanted = _chosen(rows, self._wishes.nodes)
        return Progress({row["node"]: row["process"] for row in wanted})

    def _keep(self, progress: Progress) -> None:
        new = self._state_path.with_suffix(".new")
        new.write_text(json.dumps(progress.document()), encoding="utf-8")
        new.replace(self._state_path)

    def _say(self, progress: Progress, what: str) -> None:
        number = min(len(progress.done) + 1, len(progress.began))
        at = f", {progress.at} ({progress.step.value})" if progress.at else ""
        line = f"node {number} of {len(progress.began)}{at}: {what}"
        if line != self._told:
            self._told = line
            self._tell(line)


def _chosen(rows: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The nodes to restart. Raises CommandFailed for one that there is not, or that is down."""
    known = {row["node"]: row for row in rows}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandFailed(f"no node is called {unknown[0]}", hint="see them: `leadplane nodes`")
    found = [known[name] for name in names or known]
    down = [row["node"] for row in found if not (row["alive"] and row["process"])]
    if down:
        raise CommandFailed(f"{', '.join(down)} not alive", hint="begin with a healthy fleet")
    return found


def _drain(row: Mapping[str, Any]) -> DrainSight:
    return DrainSight(
        row["state"], row["left"], row["total"], len(row["canaries"]), row["reason"],
        row["waits_for"],
    )  # fmt: skip
