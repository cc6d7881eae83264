"""`config apply` and `rollback`: what is shown, asked, sent, and said to be in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlplane.cli import asking, document_apply
from tests.cli.sample_rollout import ROLLOUT, shown
from tests.cli.stub_fleet import StubFleet, leadplane
from tests.cli.test_documents import CHANGE, EDITED, ETAG, RECORD, VIEW

FLAGS = "/v1/config/flags"
TRIED = {**EDITED, "dry_run": True}
BEGUN = {**EDITED, "effect": "rollout", "rollout": 7}
ABSENT = {"type": "/problems/unknown-document", "title": "x", "status": 404}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A document of which nothing but its name says what it is."""
    found = tmp_path / "flags.yaml"
    found.write_text("blue: true\nshare: 1\n")
    return found


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody can be asked."""
    monkeypatch.setattr(document_apply, "is_at_terminal", lambda: True)


def test_a_program_applies_without_being_asked_on_the_version_of_now(
    fleet: StubFleet, file: Path
) -> None:
    fleet.document(FLAGS, VIEW)
    fleet.document(FLAGS, EDITED, "PUT")
    done = leadplane("config", "apply", "-f", str(file), "--reason", "more")
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("PUT", FLAGS)
    assert json.loads(asked.body) == {"content": {"blue": True, "share": 1}}
    assert (asked.headers["if-match"], asked.query) == (ETAG, {"reason": "more"})
    assert done.stdout.splitlines()[:2] == [
        'flags is version 4 now: "4-aa"',
        "It is in force nowhere yet. Roll it out: leadplane rollouts start flags --version 4",
    ]


def test_a_file_that_says_its_version_is_meant_for_that_one(
    fleet: StubFleet, tmp_path: Path
) -> None:
    fleet.document(FLAGS, EDITED, "PUT")
    file = tmp_path / "somehow.yaml"
    file.write_text('# flags is version 2, etag "2-bb"\nblue: true\n')
    leadplane("config", "apply", "-f", str(file))
    assert fleet.last("PUT", FLAGS).headers["if-match"] == '"2-bb"'
    fleet.document("/v1/config/other", {**VIEW, "name": "other"})
    fleet.document("/v1/config/other", EDITED, "PUT")
    leadplane("config", "apply", "-f", str(file), "--name", "other")
    assert fleet.last("PUT", "/v1/config/other").headers["if-match"] == ETAG


def test_what_is_not_there_is_created(fleet: StubFleet, file: Path) -> None:
    fleet.document(FLAGS, ABSENT, status=404)
    fleet.document(FLAGS, EDITED, "PUT", 201)
    leadplane("config", "apply", "-f", str(file))
    assert fleet.last("PUT", FLAGS).headers["if-none-match"] == "*"


def test_standard_input_needs_a_name(fleet: StubFleet) -> None:
    done = leadplane("config", "apply", "-f", "-", stdin=b"a: 1\n")
    assert (done.exit_code, "say --name" in done.stderr) == (2, True)
    assert fleet.asked == []


@pytest.mark.usefixtures("at_terminal")
def test_somebody_at_a_terminal_sees_the_changes_and_is_asked(fleet: StubFleet, file: Path) -> None:
    fleet.document(FLAGS, VIEW)
    fleet.document(FLAGS, TRIED, "PUT")
    done = leadplane("config", "apply", "-f", str(file), stdin=b"n\n")
    assert done.exit_code == 1
    assert [asked.query for asked in fleet.asked if asked.method == "PUT"] == [{"dry_run": "true"}]
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "flags would become version 4:"
    assert lines[3].split() == ["/share", "changed", "0.5", "1"]
    assert "Make this version? It has no effect until it is rolled out. [y/N]:" in lines[-2]
    assert lines[-1] == "Nothing was done."


@pytest.mark.usefixtures("at_terminal")
def test_who_agrees_has_it_rolled_out(fleet: StubFleet, file: Path) -> None:
    fleet.document(FLAGS, VIEW)
    fleet.document(FLAGS, BEGUN, "PUT")
    words = ("config", "apply", "-f", str(file), "--rollout", "canary", "--bake", "5m")
    done = leadplane(*words, stdin=b"y\n")
    assert done.exit_code == 0, done.stderr
    assert "Make this version, and roll it out by canary?" in done.stderr
    assert fleet.last("PUT", FLAGS).query == {"rollout": "canary", "bake_ms": "300000"}
    assert done.stdout == (
        'flags is version 4 now: "4-aa"\n'
        "Rollout 7 brings it into force: leadplane rollouts get 7 --watch\n"
    )
    fleet.asked.clear()
    leadplane(*words, "--yes")
    assert [asked.method for asked in fleet.asked] == ["GET", "PUT"]


@pytest.mark.usefixtures("at_terminal")
def test_what_is_so_already_is_not_asked_about(fleet: StubFleet, file: Path) -> None:
    fleet.document(FLAGS, VIEW)
    same = {**EDITED, "document": RECORD, "changed": False, "diff": []}
    fleet.document(FLAGS, same, "PUT")
    done = leadplane("config", "apply", "-f", str(file))
    assert done.stdout == "flags is so already: version 3. Nothing was done.\n"
    assert done.stderr == ""


def test_a_refused_file_is_told_by_line(fleet: StubFleet, file: Path) -> None:
    problem = {
        "type": "/problems/invalid", "title": "The request is not valid", "status": 400,
        "errors": [{"pointer": "#/content/share", "detail": "is more than 1"}],
    }  # fmt: skip
    fleet.document(FLAGS, VIEW)
    fleet.document(FLAGS, problem, "PUT", 400)
    done = leadplane("config", "apply", "-f", str(file))
    assert (done.exit_code, "line 2, /share: is more than 1" in done.stderr) == (1, True)


def test_a_rollback_puts_nothing_and_begins_a_rollout(fleet: StubFleet) -> None:
    fleet.document("/v1/rollouts", shown(ROLLOUT), "POST", 201)
    done = leadplane("config", "rollback", "flags", "2", "--strategy", "all-at-once", "--queue")
    assert done.exit_code == 0, done.stderr
    assert [asked.method for asked in fleet.asked] == ["POST"]
    assert json.loads(fleet.asked[0].body) == {
        "document": "flags", "version": 2, "strategy": {"name": "all-at-once"}, "queue": True,
    }  # fmt: skip
    assert done.stdout.splitlines()[-1] == "Follow it: leadplane rollouts get 7 --watch"


@pytest.mark.usefixtures("at_terminal")
def test_a_rollback_is_shown_before_it_begins(fleet: StubFleet) -> None:
    fleet.document("/v1/rollouts", shown(ROLLOUT, dry_run=True), "POST")
    fleet.pages(f"{FLAGS}/versions", [[{**RECORD, "version": 1}, RECORD]])
    fleet.document(f"{FLAGS}/diff", {"diff": [CHANGE]})
    done = leadplane("config", "rollback", "flags", "1", stdin=b"n\n")
    assert done.exit_code == 1
    assert fleet.last("GET", f"{FLAGS}/diff").query == {"from": "3", "to": "1"}
    assert [asked.query for asked in fleet.asked if asked.method == "POST"] == [{"dry_run": "true"}]
    assert "From version 3, the newest, to version 1 of flags:" in done.stderr
    assert "/share  changed" in done.stderr
    assert "wave 2" in done.stderr


def test_a_pipe_is_not_somebody() -> None:
    assert not asking.is_at_terminal()
