"""`config` and the edits of `regions`: what is sent, on which condition, and what is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane

CONTENT = {"blue": True, "share": 0.5}
ETAG = '"3-9f86d081884c7d65"'
RECORD: dict[str, Any] = {
    "name": "flags", "kind": "free", "version": 3, "digest": "9f86d081884c7d65" * 4,
    "etag": ETAG, "schema": None, "principal": "operator", "reason": "begin",
    "wall_ms": 1_700_000_000_000, "before": None, "previous": None, "deleted": False,
    "size_bytes": 27,
}  # fmt: skip
VIEW = {**RECORD, "content": CONTENT}
CHANGE = {"path": "/share", "change": "changed", "before": 0.5, "after": 1}
EDITED: dict[str, Any] = {
    "document": {**RECORD, "version": 4, "etag": '"4-aa"'}, "changed": True, "dry_run": False,
    "effect": "none", "rollout": None, "diff": [CHANGE], "blast_radius": None,
}  # fmt: skip


def test_documents_and_their_versions_are_listed(fleet: StubFleet) -> None:
    fleet.pages("/v1/config", [[RECORD], [{**RECORD, "name": "latency", "kind": "latency"}]])
    fleet.pages("/v1/config/flags/versions", [[{**RECORD, "deleted": True}]])
    listed = leadplane("config")
    assert [line.split()[:3] for line in listed.stdout.splitlines()] == [
        ["NAME", "KIND", "VERSION"],
        ["flags", "free", "3"],
        ["latency", "latency", "3"],
    ]
    assert "deleted" in leadplane("config", "history", "flags").stdout
    leadplane("config", "list", "--nearby")
    assert fleet.last("GET", "/v1/config").query["consistency"] == "any"


def test_a_document_is_edited_as_a_file_that_knows_its_version(
    fleet: StubFleet, tmp_path: Path
) -> None:
    fleet.document("/v1/config/flags", VIEW)
    fleet.document("/v1/config/flags", EDITED, "PUT")
    file = tmp_path / "flags.yaml"
    file.write_text(leadplane("config", "get", "flags", "--content").stdout.replace("0.5", "1"))
    done = leadplane("config", "put", "flags", str(file), "--reason", "more")
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("PUT", "/v1/config/flags")
    assert json.loads(asked.body) == {"content": {"blue": True, "share": 1}}
    assert (asked.headers["if-match"], asked.query) == (ETAG, {"reason": "more"})
    assert done.stdout.splitlines()[:2] == [
        'flags is version 4 now: "4-aa"',
        "It is in force nowhere yet. Roll it out: leadplane rollouts start flags --version 4",
    ]
    assert done.stdout.splitlines()[4].split() == ["/share", "changed", "0.5", "1"]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (("--create",), ("if-none-match", "*")),
        (("--force",), ("if-match", "*")),
        (("--if-match", ETAG), ("if-match", ETAG)),
    ],
)
def test_the_version_that_is_meant_can_be_named(
    fleet: StubFleet, options: tuple[str, ...], header: tuple[str, str]
) -> None:
    fleet.document("/v1/config/flags", EDITED, "PUT")
    done = leadplane("config", "put", "flags", "-", *options, "--no-schema", stdin=b"a: 1\n")
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("PUT", "/v1/config/flags")
    assert asked.headers[header[0]] == header[1]
    assert json.loads(asked.body) == {"content": {"a": 1}, "schema": None}


def test_a_file_that_says_nothing_of_a_version_is_not_sent(fleet: StubFleet) -> None:
    done = leadplane("config", "put", "flags", "-", stdin=b"a: 1\n")
    assert done.exit_code == 1
    assert "which version of flags is meant" in done.stderr
    both = leadplane("config", "put", "flags", "-", "--create", "--force", stdin=b"a: 1\n")
    assert both.exit_code == 2
    assert fleet.asked == []


def test_what_is_wrong_is_told_by_line(fleet: StubFleet) -> None:
    problem = {
        "type": "/problems/invalid",
        "title": "The request is not valid; `errors` says where",
        "status": 400,
        "detail": "x",
        "errors": [{"pointer": "#/content/a/b", "detail": "is less than 0"}],
    }
    fleet.document("/v1/config/flags", problem, "PUT", 400)
    done = leadplane("config", "put", "flags", "-", "--force", stdin=b"c: 1\na:\n  b: -1\n")
    assert done.exit_code == 1
    assert "line 3, /a/b: is less than 0" in done.stderr


@pytest.mark.parametrize("text", [b"a: 1\na: 2\n", b"a: 2026-01-01\n", b"a: .nan\n", b"&x [*x]"])
def test_what_json_cannot_say_is_refused_before_it_is_sent(fleet: StubFleet, text: bytes) -> None:
    done = leadplane("config", "put", "flags", "-", "--force", stdin=text)
    assert done.exit_code == 1
    assert fleet.asked == []


def test_names_of_variants_need_no_quotes_as_keys(fleet: StubFleet) -> None:
    fleet.document("/v1/config/flags.web", EDITED, "PUT")
    text = b'flags: {f: {off: "no", variants: {on: 1, No: 2, "true": 3}}}\n'
    done = leadplane("config", "put", "flags.web", "-", "--create", stdin=text)
    assert done.exit_code == 0, done.stderr
    sent = json.loads(fleet.last("PUT", "/v1/config/flags.web").body)["content"]
    assert sent == {"flags": {"f": {"off": "no", "variants": {"on": 1, "No": 2, "true": 3}}}}


def test_a_deletion_means_what_is_there_now(fleet: StubFleet) -> None:
    gone = {**EDITED, "document": {**RECORD, "deleted": True}, "dry_run": True}
    fleet.document("/v1/config/flags", VIEW)
    fleet.document("/v1/config/flags", gone, "DELETE")
    done = leadplane("config", "delete", "flags", "--dry-run")
    assert done.stdout.splitlines()[0] == "flags would be deleted. Nothing was done."
    asked = fleet.last("DELETE", "/v1/config/flags")
    assert (asked.headers["if-match"], asked.query) == (ETAG, {"dry_run": "true"})


def test_each_region_says_what_it_runs(fleet: StubFleet) -> None:
    fleet.document(
        "/v1/config/flags/effective",
        {
            "name": "flags", "region": "r", "node": "n", "applied": None, "content": None,
            "target": {"version": 2, "digest": "aa", "rollout": 7}, "newest": RECORD,
            "drift": "behind", "staleness_ms": 212,
        },
    )  # fmt: skip
    done = leadplane("config", "effective", "flags")
    assert done.exit_code == 0, done.stderr
    assert [line.split()[:7] for line in done.stdout.splitlines()[1:]] == [
        ["r", "n", "-", "2", "3", "behind", "7"]
    ] * 3
    asked = [a.query["region"] for a in fleet.asked if a.path == "/v1/config/flags/effective"]
    assert asked == ["ap-southeast-1", "eu-central-1", "us-east-1"]


def test_a_region_that_is_cut_off_is_told_beside_the_others(fleet: StubFleet) -> None:
    problem = {"type": "/problems/no-member", "title": "x", "retry_after_ms": 500}
    fleet.document("/v1/config/flags/effective", problem, status=503)
    done = leadplane("config", "effective", "flags", "--region", "us-east-1")
    assert done.exit_code == 0, done.stderr
    assert "not known: no-member" in done.stdout


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (("--rollout", "linear"), {"rollout": "linear"}),
        (
            ("--rollout", "canary", "--bake", "1h30m", "--final-bake", "0"),
            {"rollout": "canary", "bake_ms": "5400000", "final_bake_ms": "0"},
        ),
    ],
)
@pytest.mark.parametrize("words", ["config put flags -", "config delete flags", "regions put eu -"])
def test_every_edit_can_begin_its_rollout_and_names_it(
    fleet: StubFleet, words: str, options: tuple[str, ...], query: dict[str, str]
) -> None:
    begun = {**EDITED, "effect": "rollout", "rollout": 7}
    fleet.document("/v1/config/flags", begun, "PUT")
    fleet.document("/v1/config/flags", begun, "DELETE")
    fleet.document("/v1/config/flags", VIEW)
    fleet.document("/v1/regions/eu", begun, "PUT")
    force = ("--force",) if " put " in words else ()
    done = leadplane(*words.split(), *force, *options, stdin=b"a: 1\n")
    assert done.exit_code == 0, done.stderr
    assert fleet.asked[-1].query == query
    follow = "Rollout 7 brings it into force: leadplane rollouts get 7 --watch"
    assert done.stdout.splitlines()[1] == follow


def test_a_bake_without_a_rollout_and_what_is_no_duration_are_not_sent(fleet: StubFleet) -> None:
    alone = leadplane("config", "put", "flags", "-", "--force", "--bake", "1m", stdin=b"a: 1\n")
    assert (alone.exit_code, "say --rollout too" in alone.stderr) == (2, True)
    wrong = leadplane("config", "put", "flags", "-", "--rollout", "canary", "--bake", "soon")
    assert (wrong.exit_code, "90s, 10m or 1h30m" in wrong.stderr) == (2, True)
    assert fleet.asked == []


def test_a_pin_names_the_rollout_that_it_began(fleet: StubFleet) -> None:
    begun = {**EDITED, "effect": "rollout", "rollout": 9}
    fleet.document("/v1/shards/s00/pin", begun, "POST")
    done = leadplane("shards", "pin", "s00", "eu-central-1-n1")
    assert done.exit_code == 0, done.stderr
    assert "Rollout 9 brings it into force" in done.stdout


def test_a_region_is_patched_by_fields_and_its_blast_radius_is_told(fleet: StubFleet) -> None:
    fleet.document("/v1/config/region.eu", {**VIEW, "name": "region.eu"})
    radius = {"summary": ["12 shards lose region survival: s1, ..."]}
    fleet.document("/v1/regions/eu", {**EDITED, "blast_radius": radius}, "PATCH")
    done = leadplane(
        "regions", "patch", "eu", "capacity.leaders=500", "location=", 'zones=["a"]', "x=y"
    )
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("PATCH", "/v1/regions/eu")
    assert json.loads(asked.body) == {
        "capacity": {"leaders": 500},
        "location": None,
        "zones": ["a"],
        "x": "y",
    }
    assert asked.headers["if-match"] == ETAG
    assert "12 shards lose region survival" in done.stdout
    assert leadplane("regions", "patch", "eu", "capacity").exit_code == 2


def test_a_known_region_is_created_by_its_published_figures(fleet: StubFleet) -> None:
    fleet.document("/v1/regions/eu-west-1", EDITED, "PUT", 201)
    done = leadplane("regions", "create", "eu-west-1", "--dry-run")
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("PUT", "/v1/regions/eu-west-1")
    content = json.loads(asked.body)
    assert asked.headers["if-none-match"] == "*"
    assert content["location"] == "Europe (Ireland)"
    assert sorted(content["egress_usd_per_gb"]) == ["ap-southeast-1", "eu-central-1", "us-east-1"]
    unknown = leadplane("regions", "create", "mars")
    assert unknown.exit_code == 1
    assert "no figures for" in unknown.stderr


def test_a_refusal_tells_what_the_edit_would_have_done(fleet: StubFleet) -> None:
    problem = {
        "type": "/problems/document-in-use",
        "title": "Something needs what the edit would take away",
        "status": 409,
        "detail": "x",
        "errors": [{"pointer": "#", "detail": "store eu-1 stands there"}],
        "blast_radius": {"summary": ["2 shards would have no leader region: s1, s2"]},
    }
    fleet.document("/v1/config/region.eu", {**VIEW, "name": "region.eu"})
    fleet.document("/v1/regions/eu", problem, "DELETE", 409)
    done = leadplane("regions", "delete", "eu")
    assert done.exit_code == 1
    assert "store eu-1 stands there" in done.stderr
    assert "2 shards would have no leader region" in done.stderr
