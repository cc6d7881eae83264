"""How rollouts are shown: a list, one with its regions, what one would do, and how it gets on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.cli.durations import duration_text
from controlplane.cli.output import Column, Row, moment_text, table

if TYPE_CHECKING:
    from rich.console import RenderableType

PHASE_STYLES = {
    "paused": "yellow", "rolling-back": "red", "stuck": "red", "succeeded": "green",
    "rolled-back": "red", "rejected": "red", "held": "red", "superseded": "dim",
}  # fmt: skip
REGION_STYLES = {
    "healthy": "green", "applied": "green", "sent": "yellow", "reverting": "yellow",
    "unhealthy": "red", "unreachable": "red", "deferred": "yellow", "reverted": "dim",
    "skipped": "dim",
}  # fmt: skip
VERDICT_STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "no-data": "yellow"}
HAVE_IT = ("applied", "healthy", "unhealthy")
TIMED = ("baking", "final-bake")


def version_text(version: int) -> str:
    """A version as a region is said to run it; 0 is what holds where nobody said anything."""
    return f"version {version}" if version else "the default"


def _regions(rollout: Row) -> str:
    have = sum(each["reached"] in HAVE_IT for each in rollout["regions"])
    return f"{have} of {len(rollout['regions'])}"


def _wave(rollout: Row) -> str:
    return f"{rollout['wave']} of {len(rollout['waves'])}"


def _style(rollout: Row) -> str:
    return PHASE_STYLES.get(rollout["phase"], "")


def _after(ms: int) -> str:
    return duration_text(ms - ms % 1_000) if ms else "at once"


def _asked(gate: Row) -> str:
    if gate["kind"] == "fleet":
        return ", ".join(gate["measures"])
    return str(gate["query"] or gate["url"])


def _said(look: Row) -> str:
    return f"{look['verdict']}, only reported" if look["dry_run"] else str(look["verdict"])


def _passes(gate: Row) -> str | None:
    return f"status {gate['status']}" if gate["kind"] == "http" else gate["passes"] or None


def _share(wave: Row) -> str | None:
    return None if wave["nodes_percent"] == 100 else f"{wave['nodes_percent']} %"


def _waits_for(wave: Row) -> str | None:
    until_ms = wave["frozen_until_wall_ms"]
    frozen = f"a freeze, until {moment_text(until_ms, '%m-%d %H:%M:%S')}" if until_ms else ""
    approval = "an approval" if wave["needs_approval"] else ""
    return "; ".join(each for each in (approval, frozen) if each) or None


ROLLOUTS = (
    Column("ROLLOUT", lambda r: r["rollout"], right=True),
    Column("DOCUMENT", lambda r: r["document"]),
    Column("VERSION", lambda r: r["version"], right=True),
    Column("STRATEGY", lambda r: r["strategy"]["name"], wide=True),
    Column("PHASE", lambda r: r["phase"], _style),
    Column("WAVE", _wave),
    Column("HAVE IT", _regions),
    Column("BEGAN", lambda r: moment_text(r["began_wall_ms"], "%m-%d %H:%M:%S")),
    Column("ENDED", lambda r: moment_text(r["ended_wall_ms"], "%m-%d %H:%M:%S"), wide=True),
    Column("BY", lambda r: r["principal"], wide=True),
    Column("REASON", lambda r: r["reason"], wide=True),
    Column("WHY", lambda r: _pause_text(r) or r["why"] or r["reason"], sparse=True),
)
REGIONS = (
    Column("WAVE", lambda s: s["wave"], right=True),
    Column("REGION", lambda s: s["region"]),
    Column("STATE", lambda s: s["reached"], lambda s: REGION_STYLES.get(s["reached"], "")),
    Column("SINCE", lambda s: moment_text(s["since_ms"], "%H:%M:%S")),
    Column("BEFORE", lambda s: version_text(s["before"])),
    Column("WHY", lambda s: s["why"], sparse=True),
)
WAVES = (
    Column("STEP", lambda w: w["step"]),
    Column("REGIONS", lambda w: w["regions"]),
    Column("BEGINS AFTER", lambda w: _after(w["expected_ms"]), right=True),
    Column("IS WATCHED FOR", lambda w: duration_text(w["bake_ms"]), right=True),
    Column("OF THE NODES", _share, right=True, sparse=True),
    Column("WAITS FOR", _waits_for, sparse=True),
)
LOOKS = (
    Column("GATE", lambda g: g["gate"]),
    Column("SAID", _said, lambda g: VERDICT_STYLES.get(g["verdict"], "")),
    Column("AT", lambda g: moment_text(g["wall_ms"], "%H:%M:%S")),
    Column(
        "WAVE WAS ON FOR",
        lambda g: duration_text(g["window_ms"] - g["window_ms"] % 1_000),
        right=True,
        wide=True,
    ),
    Column("DETAIL", lambda g: g["detail"]),
)
GATES = (
    Column("GATE", lambda g: g["name"]),
    Column("KIND", lambda g: g["kind"]),
    Column("ASKS", _asked),
    Column("PASSES", _passes),
    Column("WITHOUT AN ANSWER", lambda g: g["no_data"]),
    Column("COUNTS", lambda g: "only reports" if g["dry_run"] else "yes"),
)


def draw_rollouts(document: Any, wide: bool) -> RenderableType:
    """One line for each."""
    return table(ROLLOUTS, document["items"], wide)


def draw_rollout(rollout: Any, wide: bool) -> RenderableType:
    """One rollout: how far it is, each region, what gates said, what to type next."""
    from rich.console import Group
    from rich.text import Text

    waves = {name: number for number, each in _numbered(rollout) for name in each["regions"]}
    regions = [{**each, "wave": waves.get(each["region"])} for each in rollout["regions"]]
    regions.sort(key=lambda each: each["wave"] or 0)
    parts: list[RenderableType] = [Text(headline(rollout), style=_style(rollout))]
    parts += [Text(line) for line in (rollout["why"], _looks(rollout)) if line]
    parts += [Text(), table(REGIONS, regions, wide)]
    if rollout["looks"]:
        parts += [Text(), table(LOOKS, rollout["looks"], wide)]
    if wide:
        parts += [Text(), table(GATES, rollout["gates"], wide)]
    if steps := next_steps(rollout):
        parts += [Text(), *map(Text, steps)]
    return Group(*parts)


def draw_steps(rollout: Any, wide: bool) -> RenderableType:
    """What a rollout would do, wave by wave, and when."""
    from rich.console import Group
    from rich.text import Text

    strategy = rollout["strategy"]
    named = {"bake_ms": strategy["bake_ms"]}
    steps = [{"step": f"wave {n}", **named, **each} for n, each in _numbered(rollout)]
    if strategy["final_bake_ms"]:
        begins_ms = rollout["expected_ms"] - strategy["final_bake_ms"]
        steps.append(
            {
                "step": "final bake", "regions": ["all"], "expected_ms": begins_ms,
                "bake_ms": strategy["final_bake_ms"], "needs_approval": False,
                "nodes_percent": 100, "frozen_until_wall_ms": None,
            }
        )  # fmt: skip
    what = f"{rollout['document']} to {version_text(rollout['version'])}"
    said = f"Would bring {what}, by {strategy['name']}, in {_after(rollout['expected_ms'])}"
    parts = [Text(f"{said} if all goes well. Nothing was done."), Text()]
    return Group(*parts, table(WAVES, steps, wide), Text(), table(GATES, rollout["gates"], wide))


def _numbered(rollout: Any) -> list[tuple[int, Any]]:
    return list(enumerate(rollout["waves"], 1))


def headline(rollout: Any) -> str:
    """How far a rollout is, in one sentence."""
    what = f"Rollout {rollout['rollout']}: {rollout['document']} to "
    what += f"{version_text(rollout['version'])}, by {rollout['strategy']['name']}"
    phase = rollout["phase"]
    if rollout["over"]:
        return f"{what}: {phase}."
    if phase == "pending":
        return f"{what}: pending, until no other rollout is in its way."
    where = f"{phase}, wave {_wave(rollout)}"
    if phase in TIMED:
        strategy = rollout["strategy"]
        whole_ms = strategy["bake_ms" if phase == "baking" else "final_bake_ms"]
        baked_ms = min(rollout["baked_ms"] - rollout["baked_ms"] % 1_000, whole_ms)
        where += f", {duration_text(baked_ms)} of {duration_text(whole_ms)}"
    pause = _pause_text(rollout)
    return f"{what}: {where}{f' ({pause})' if pause else ''}."


def _pause_text(rollout: Row) -> str | None:
    pause = rollout["pause"]
    if pause is None:
        return None
    until = f" until {moment_text(pause['until_wall_ms'])}" if pause["until_wall_ms"] else ""
    who = f"by {pause['by']}" if pause["by"] else pause["why"]
    return who + until + (f": {pause['detail']}" if pause["detail"] else "")


def _looks(rollout: Any) -> str:
    """What the gates said in this wave, as far as they were asked."""
    strategy = rollout["strategy"]
    if not (rollout["good"] or rollout["bad"] or rollout["silent"]):
        return ""
    return (
        f"Gates: {rollout['good']} of {strategy['successes']} good in a row, "
        f"{rollout['bad']} failed (borne: {strategy['failure_limit']}), "
        f"{rollout['silent']} without an answer (borne: {strategy['error_limit']})"
    )


def next_steps(rollout: Any) -> list[str]:
    """What somebody can type now, a line for each; none where there is nothing to be done."""
    number, pause = rollout["rollout"], rollout["pause"]
    if pause is None:
        return []
    if pause["why"] == "frozen":
        return [f"Take it back: leadplane rollouts abort {number}"]
    goes_on, more = "Go on", []
    match pause["why"]:
        case "approval":
            goes_on = f"Let wave {rollout['wave']} begin"
        case "unreachable":
            more = [f"It goes on by itself when {pause['detail']} answers."]
            goes_on = "Ask it again"
        case "inconclusive" | "no-data":
            goes_on = "Ask the gates again"
            more = [f"Go on without them: leadplane rollouts promote {number}"]
    return [
        f"{goes_on}: leadplane rollouts resume {number}",
        *more,
        f"Go back: leadplane rollouts abort {number}",
    ]


def needs_person(rollout: Any) -> bool:
    """Whether it stands until somebody does something about it."""
    pause = rollout["pause"]
    return pause is not None and not pause["until_wall_ms"] and pause["why"] != "unreachable"


def changes_between(before: Any | None, now: Any) -> list[str]:
    """What happened to a rollout since it was last looked at: a line for each thing."""
    if before is None:
        return [headline(now).removesuffix(".") + (_because(now["why"]) or ".")]
    known = {each["region"]: each["reached"] for each in before["regions"]}
    lines = [
        f"  {each['region']}: {each['reached']}" + _because(each["why"])
        for each in now["regions"]
        if known.get(each["region"]) != each["reached"]
    ]
    said = {each["gate"]: each["verdict"] for each in before["looks"]}
    lines += [
        f"  gate {each['gate']}: {_said(each)}" + _because(each["detail"])
        for each in now["looks"]
        if said.get(each["gate"]) != each["verdict"]
    ]
    if (looks := _looks(now)) and looks != _looks(before):
        lines.append(f"  {looks}")
    if _stand(before) != _stand(now):
        ended = _because(now["why"]) if now["why"] != before["why"] else ""
        lines.append(headline(now).removesuffix(".") + (ended or "."))
    return lines


def _because(why: str) -> str:
    return f" ({why})" if why else ""


def _stand(rollout: Any) -> tuple[Any, ...]:
    pause = rollout["pause"] or {}
    return rollout["phase"], rollout["wave"], pause.get("why"), pause.get("detail")
