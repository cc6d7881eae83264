"""`flags`: what is in force by flag, and what one comes to for somebody."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.stub_fleet import StubFleet, leadplane

EVALUATE = "/ofrep/v1/evaluate/flags"
SHARES = [{"serve": "on", "percent": 12.5}, {"serve": "off", "percent": 87.5}]
FLAGS: dict[str, Any] = {
    "checkout": {
        "default": "off",
        "prerequisites": {"payments": ["on"]},
        "rules": [
            {"when": {"a": {"equals": 1}}, "serve": "on"},
            {"regions": ["eu"], "split": SHARES},
        ],
    },
    "payments": {"enabled": False, "split": SHARES},
}
ANSWER = {
    "node": "n",
    "region": "eu-central-1",
    "documents": [
        {"name": "flags.web", "version": 3, "digest": "d", "content": {"flags": FLAGS}},
        {"name": "flags.app", "version": 1, "digest": "d", "content": {"flags": {
            "dark": {"variants": {"a": "x", "off": "y"}, "default": "a"}}}},
    ],
}  # fmt: skip


def test_flags_in_force_are_listed_by_name(fleet: StubFleet) -> None:
    fleet.document("/v1/flags", ANSWER)
    listed = leadplane("flags", columns=160)
    assert listed.exit_code == 0, listed.stderr
    lines = [" ".join(line.split()) for line in listed.stdout.splitlines()]
    assert lines == [
        "FLAG DOCUMENT VERSION STATE VARIANTS NEEDS RULES ELSE",
        "checkout flags.web 3 enabled on, off payments on, 12.5 % on, 87.5 % off off",
        "dark flags.app 1 enabled a, off - - a",
        "payments flags.web 3 killed on, off - - 12.5 % on, 87.5 % off",
    ]
    assert json.loads(leadplane("flags", "-o", "json").stdout) == ANSWER


def test_a_flag_is_evaluated_for_somebody(fleet: StubFleet) -> None:
    answer = {"key": "checkout", "value": True, "variant": "on", "reason": "SPLIT",
              "metadata": {"document": "flags.web", "version": 3}}  # fmt: skip
    fleet.document(f"{EVALUATE}/checkout", answer, "POST")
    words = ["--targeting-key", "ada", "--attribute", "age=36", "--attribute", "plan=gold",
             "--attribute", 'tags=["a"]']  # fmt: skip
    done = leadplane("flags", "evaluate", "checkout", *words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == [
        "checkout",
        "true",
        "on",
        "SPLIT",
        "flags.web",
        "3",
    ]
    context = {"age": 36, "plan": "gold", "tags": ["a"], "targetingKey": "ada"}
    assert json.loads(fleet.last("POST", f"{EVALUATE}/checkout").body) == {"context": context}


def test_what_cannot_be_evaluated_is_told(fleet: StubFleet) -> None:
    def answer(flag: str, code: str, status: int) -> None:
        body = json.dumps({"key": flag, "errorCode": code, "errorDetails": "it needs a key"})
        fleet.answers["POST", f"{EVALUATE}/{flag}"] = (
            status, {"Content-Type": "application/json"}, body.encode(),
        )  # fmt: skip

    answer("split", "TARGETING_KEY_MISSING", 400)
    answer("none", "FLAG_NOT_FOUND", 404)
    missing = leadplane("flags", "evaluate", "split")
    assert missing.exit_code == 1
    assert "TARGETING_KEY_MISSING: it needs a key" in missing.stderr
    unknown = leadplane("flags", "evaluate", "none")
    assert unknown.stderr.splitlines()[0] == "error: there is no flag none"
    assert "leadplane flags list" in unknown.stderr
    assert leadplane("flags", "evaluate", "x", "--attribute", "y").exit_code == 2
