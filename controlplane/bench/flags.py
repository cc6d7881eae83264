"""Benchmark `flags`: what an evaluation of a feature flag costs an application, without a node."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from openfeature.evaluation_context import EvaluationContext

from controlplane.bench.comparison import Tell
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import nearest_rank
from controlplane.flags.provider import LeadplaneProvider

TARGET_US: Final = 10.0
EVALUATIONS: Final = 50_000
FLAGS: Final = 200
SHARES: Final = ({"serve": "on", "percent": 12.5}, {"serve": "off", "percent": 87.5})
KINDS: Final[dict[str, dict[str, Any]]] = {
    "static": {"default": "on"},
    "split": {"split": SHARES},
    "rules": {
        "default": "off",
        "rules": [
            {"when": {"email": {"ends_with": ["@example.com"]}}, "serve": "on"},
            {"when": {"country": {"in": ["DE", "AT", "CH"]}, "age": {">=": 18}}, "split": SHARES},
            {"when": {"app": {"semver": {">=": "2.1.0", "<": "3.0.0"}}}, "split": SHARES},
        ],
    },
    "prerequisite": {"default": "on", "prerequisites": {"rules-000": ["on", "off"]}},
}
ATTRIBUTES: Final[Mapping[str, str | int]] = {
    "email": "ada@example.org",
    "country": "FR",
    "age": 36,
    "app": "2.4.1",
}


def measure_flags(rounds: int, tell: Tell) -> Findings:
    """Evaluate flags of each kind for many keys, by the provider's own method."""
    provider = LeadplaneProvider("http://127.0.0.1:1")
    provider.copy.take(_answer(), "made up")
    contexts = [EvaluationContext(f"user-{n}", ATTRIBUTES) for n in range(EVALUATIONS)]
    figures = []
    for kind in KINDS:
        once = provider.resolve_boolean_details(f"{kind}-000", False, contexts[0])
        assert once.error_code is None, once
        times = sorted(
            _microseconds(provider.resolve_boolean_details, f"{kind}-000", contexts)
            for _ in range(rounds)
        )
        middle = nearest_rank(times, 0.5)
        tell(f"flags, {kind}: {middle:.2f} us")
        figures.append(
            Figure(
                f"evaluation, {kind}",
                round(middle, 2),
                "us",
                target=f"less than {TARGET_US:g} us",
                reached=middle < TARGET_US,
            )
        )
    method = (
        f"`LeadplaneProvider.resolve_boolean_details` on {FLAGS * len(KINDS)} flags, "
        f"{EVALUATIONS:,} targeting keys, {rounds} rounds; the middle one counts. "
        "`rules` has three, of which the last one fits; `prerequisite` asks for such "
        "a flag first. Processor time of one thread."
    )
    return Findings("flags", "", method, tuple(figures))


def _answer() -> dict[str, Any]:
    flags = {f"{kind}-{n:03}": flag for kind, flag in KINDS.items() for n in range(FLAGS)}
    document = {"name": "flags.bench", "version": 1, "digest": "", "content": {"flags": flags}}
    return {"node": "none", "region": "eu-central-1", "documents": [document]}


def _microseconds(
    resolve: Callable[[str, bool, EvaluationContext], Any],
    flag: str,
    contexts: list[EvaluationContext],
) -> float:
    began_s = time.thread_time()
    for context in contexts:
        resolve(flag, False, context)
    return (time.thread_time() - began_s) / len(contexts) * 1e6
