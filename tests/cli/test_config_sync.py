"""`config sync`: what differs between a directory, the newest versions and what is in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.document import canonical, digest_of
from config.rollout import Phase
from controlplane.cli import document_sync
from tests.cli.sample_rollout import ROLLOUT, at, shown
from tests.cli.stub_fleet import StubFleet, leadplane
from tests.cli.test_documents import CHANGE, EDITED, RECORD

CONTENT = {"blue": True}
REFUSED = {
    "type": "/problems/invalid", "title": "The request is not valid", "status": 400,
    "errors": [{"pointer": "#/content/blue", "detail": "is no number"}],
}  # fmt: skip


def record(name: str, version: int = 3, content: Any = None) -> dict[str, Any]:
    """A document as it is listed."""
    digest = digest_of(canonical(CONTENT if content is None else content))
    return {**RECORD, "name": name, "version": version, "digest": digest, "etag": f'"{name}"'}


def effective(target: int | None, drift: str = "none") -> dict[str, Any]:
    """What a region says."""
    order = None if target is None else {"version": target, "digest": "", "rollout": 1}
    return {"applied": None, "target": order, "newest": None, "drift": drift}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with one document, in step with the fleet unless a test says otherwise."""
    (tmp_path / "flags.yaml").write_text("# as asked for\nblue: true\n")
    (tmp_path / "README.md").write_text("not a document")
    return tmp_path


def known(fleet: StubFleet, *records: dict[str, Any], rollouts: tuple[Any, ...] = ()) -> None:
    """What the fleet has: documents, each in force everywhere, and rollouts."""
    fleet.document("/v1/config", {"items": records})
    fleet.document("/v1/rollouts", {"items": rollouts})
    for each in records:
        path = f"/v1/config/{each['name']}"
        fleet.document(f"{path}/effective", effective(each["version"]))
        for method in ("PUT", "DELETE"):
            fleet.document(path, edited(each["name"]), method)


def edited(name: str) -> dict[str, Any]:
    """What an edit of it comes to."""
    made = {**EDITED["document"], "name": name}
    return {**EDITED, "document": made, "effect": "rollout", "rollout": 7}


def plan(directory: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and what would be done."""
    done = leadplane("config", "sync", str(directory), "--plan", "-o", "json", *options)
    return done.exit_code, json.loads(done.stdout)["items"] if done.stdout else []


def sent(fleet: StubFleet) -> list[tuple[str, str, dict[str, str]]]:
    """What was asked for that changes something, or would."""
    return [(a.method, a.path, a.query) for a in fleet.asked if a.method != "GET"]


def test_what_is_in_step_needs_nothing(fleet: StubFleet, directory: Path) -> None:
    known(fleet, record("flags"))
    status, items = plan(directory)
    assert (status, [item["action"] for item in items]) == (0, ["nothing"])
    done = leadplane("config", "sync", str(directory))
    assert (done.exit_code, done.stdout) == (0, "Nothing to do: 1 documents looked at.\n")
    assert sent(fleet) == []


def test_a_plan_shows_each_difference_and_changes_nothing(
    fleet: StubFleet, directory: Path
) -> None:
    (directory / "limits.json").write_text('{"a": 1}')
    known(fleet, record("flags", content={"blue": False}), record("old"))
    fleet.document("/v1/config/limits", edited("limits"), "PUT")
    done = leadplane("config", "sync", str(directory), "--plan")
    assert done.exit_code == 2
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1:4] == [
        ["flags", "change", "other", "3", "3", "-"],
        ["limits", "create", "new", "-", "-", "-"],
        ["old", "nothing", "absent", "3", "-", "not", "in", "the", "directory"],
    ]
    assert ["/share", "changed", "0.5", "1"] in rows
    assert {query["dry_run"] for _, _, query in sent(fleet)} == {"true"}


def test_every_changed_document_is_edited_as_it_was_seen_and_rolled_out(
    fleet: StubFleet, directory: Path
) -> None:
    (directory / "limits.json").write_text('{"a": 1}')
    known(fleet, record("flags", content={"blue": False}))
    fleet.document("/v1/config/limits", edited("limits"), "PUT")
    done = leadplane(
        "config", "sync", str(directory), "--yes", "--strategy", "linear", "--reason", "c0ffee"
    )
    assert done.exit_code == 0, done.stderr
    query = {"rollout": "linear", "reason": "c0ffee"}
    assert [each for each in sent(fleet) if "dry_run" not in each[2]] == [
        ("PUT", "/v1/config/flags", query),
        ("PUT", "/v1/config/limits", query),
    ]
    assert fleet.last("PUT", "/v1/config/flags").headers["if-match"] == '"flags"'
    assert fleet.last("PUT", "/v1/config/limits").headers["if-none-match"] == "*"
    assert [line.split() for line in done.stdout.splitlines()[:3]] == [
        ["DOCUMENT", "DONE", "VERSION", "ROLLOUT"],
        ["flags", "change", "4", "7"],
        ["limits", "create", "4", "7"],
    ]


def test_a_version_that_nobody_rolled_out_is_rolled_out(fleet: StubFleet, directory: Path) -> None:
    known(fleet, record("flags"))
    fleet.document("/v1/config/flags/effective", effective(2))
    fleet.document("/v1/rollouts", shown(ROLLOUT), "POST", 201)
    assert [item["action"] for item in plan(directory)[1]] == ["roll out"]
    done = leadplane("config", "sync", str(directory), "--yes", "--bake", "1m")
    assert done.exit_code == 0, done.stderr
    assert json.loads(fleet.last("POST", "/v1/rollouts").body) == {
        "document": "flags", "version": 3, "queue": True,
        "strategy": {"name": "canary", "bake_ms": 60_000},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "status", "words"),
    [
        (Phase.BAKING, 0, "rollout 7 of it is baking"),
        (
            Phase.ROLLED_BACK,
            2,
            "its rollout 7 is over (rolled-back): `leadplane rollouts start flags`",
        ),
    ],
)
def test_what_goes_on_is_left_alone_and_what_was_taken_back_is_not_begun_again(
    fleet: StubFleet, directory: Path, phase: Phase, status: int, words: str
) -> None:
    known(fleet, record("flags"), rollouts=({**at(phase), "version": 3},))
    fleet.document("/v1/config/flags/effective", effective(2))
    found, items = plan(directory)
    assert (found, [item["action"] for item in items]) == (status, ["nothing"])
    assert words in items[0]["note"]
    done = leadplane("config", "sync", str(directory), "--yes")
    assert (done.exit_code, sent(fleet)) == (0, [])
    assert (words in done.stdout) == (status == 2)


def test_a_region_that_does_not_run_what_it_is_to_run_is_drift(
    fleet: StubFleet, directory: Path
) -> None:
    known(fleet, record("flags"))
    fleet.document("/v1/config/flags/effective", effective(3, "behind"))
    status, items = plan(directory)
    assert (status, items[0]["action"]) == (2, "nothing")
    assert items[0]["behind"] == ["ap-southeast-1", "eu-central-1", "us-east-1"]


def test_a_region_that_is_cut_off_is_not_guessed_at(fleet: StubFleet, directory: Path) -> None:
    known(fleet, record("flags"))
    away = {"type": "/problems/no-member", "title": "x", "status": 503, "retry_after_ms": 5}
    fleet.one_after_the_other("/v1/config/flags/effective", away, effective(3))
    status, items = plan(directory)
    assert (status, items[0]["in_force"]["ap-southeast-1"]) == (0, None)
    assert items[0]["action"] == "nothing"


def test_only_prune_deletes_and_never_what_every_fleet_has(
    fleet: StubFleet, directory: Path
) -> None:
    kept = (record("latency"), record("region.eu", 0), record("schema.region", 0))
    known(fleet, record("flags"), record("old"), *kept)
    assert leadplane("config", "sync", str(directory), "--yes").exit_code == 0
    assert sent(fleet) == []
    assert [i["document"] for i in plan(directory, "--prune")[1] if i["action"] == "delete"] == [
        "old"
    ]
    done = leadplane("config", "sync", str(directory), "--yes", "--prune")
    assert done.exit_code == 0, done.stderr
    assert sent(fleet)[-1] == ("DELETE", "/v1/config/old", {"rollout": "canary"})
    assert fleet.last("DELETE", "/v1/config/old").headers["if-match"] == '"old"'


def test_what_would_be_refused_stops_everything_and_names_the_line(
    fleet: StubFleet, directory: Path
) -> None:
    (directory / "limits.json").write_text('{"a": 1}')
    known(fleet, record("flags", content={"blue": False}))
    fleet.document("/v1/config/flags", REFUSED, "PUT", 400)
    fleet.document("/v1/config/limits", edited("limits"), "PUT")
    done = leadplane("config", "sync", str(directory), "--yes")
    assert done.exit_code == 1
    assert "line 2, /blue: is no number" in done.stderr
    assert "nothing was done" in done.stderr
    assert {query.get("dry_run") for _, _, query in sent(fleet)} == {"true"}
    assert plan(directory)[0] == 1


def test_what_needs_another_of_the_documents_is_tried_after_it(
    fleet: StubFleet, directory: Path
) -> None:
    (directory / "schema.flag.yaml").write_text("type: object\n")
    known(fleet, record("flags", content={"blue": False}))
    fleet.document("/v1/config/flags", REFUSED, "PUT", 400)
    fleet.document("/v1/config/schema.flag", edited("schema.flag"), "PUT")
    status, items = plan(directory)
    assert status == 2
    assert [item["document"] for item in items] == ["schema.flag", "flags"]
    assert items[1]["note"] == "depends on what comes first"
    done = leadplane("config", "sync", str(directory), "--yes")
    assert done.exit_code == 1, "it is refused all the same"
    made = [path for _, path, query in sent(fleet) if "dry_run" not in query]
    assert made == ["/v1/config/schema.flag", "/v1/config/flags", "/v1/config/flags"]
    assert "is no number" in done.stdout


def test_files_that_make_no_sense_are_all_named_before_anything_is_asked(
    fleet: StubFleet, directory: Path
) -> None:
    (directory / "flags.json").write_text("{}")
    (directory / "Big Name.yaml").write_text("a: 1\n")
    (directory / "broken.yaml").write_text("a: [\n")
    done = leadplane("config", "sync", str(directory), "--plan")
    assert done.exit_code == 1
    for words in ("flags is in", "Big Name.yaml: the name of a document must be", "broken.yaml"):
        assert words in done.stderr, words
    assert fleet.asked == []
    empty = directory / "empty"
    empty.mkdir()
    nothing = leadplane("config", "sync", str(empty), "--prune", "--yes")
    assert (nothing.exit_code, "holds no document" in nothing.stderr) == (1, True)


def test_a_program_says_yes_and_somebody_at_a_terminal_is_asked(
    fleet: StubFleet, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(fleet, record("flags", content={"blue": False}))
    silent = leadplane("config", "sync", str(directory))
    assert (silent.exit_code, "then say --yes" in silent.stderr) == (1, True)
    monkeypatch.setattr(document_sync, "is_at_terminal", lambda: True)
    no = leadplane("config", "sync", str(directory), stdin=b"n\n")
    assert no.exit_code == 1
    assert CHANGE["path"] in no.stderr
    assert all("dry_run" in query for _, _, query in sent(fleet))
    assert leadplane("config", "sync", str(directory), stdin=b"y\n").exit_code == 0
    assert "dry_run" not in sent(fleet)[-1][2]
