"""`leadplane audit`: what is listed and exported, and what `verify` finds wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.audit import Head, Note, Stamp, What, chained, shown
from tests.cli.stub_fleet import StubFleet, leadplane

NOTES = [
    Note(What.DOCUMENT, "flags", "ada", "begin", None, {"version": 1, "digest": "aa"}),
    Note(What.DRAIN, "node n1", "bob", "power", None, {"state": "draining"}),
    Note(
        What.LEADERSHIP, "s03", before={"history": ""},
        after={"history": "bb", "changes": [["s03", 2, "n2", "expired", "n1", 1]]},
    ),
    Note(What.DOCUMENT, "flags", "eve", "", {"version": 1}, {"text": "x" * 400}),
]  # fmt: skip
RECORDS, HEAD = chained(Head(), NOTES, Stamp("n1", 3, 1_700_000_000_000))
ITEMS: list[dict[str, Any]] = [shown(record) for record in RECORDS]
WHOLE: dict[str, Any] = {
    "valid": True, "records": 4, "first": 1, "last": 4, "head": HEAD.digest, "holes": [],
    "problem": None, "at": None, "checkpoint": "matches",
}  # fmt: skip
LAST = f"4:{HEAD.digest}"


@pytest.fixture
def exported(fleet: StubFleet, tmp_path: Path) -> Path:
    """The whole log as a file."""
    fleet.pages("/v1/audit", [ITEMS[:3], ITEMS[3:]])
    file = tmp_path / "audit.jsonl"
    done = leadplane("audit", "export", str(file))
    assert (done.exit_code, done.stderr) == (0, f"4 records; checkpoint {LAST}\n")
    return file


def rewritten(file: Path, change: Any) -> Path:
    """The file with its lines as `change` makes them of those that there are."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))
    return file


def test_the_last_changes_are_listed_and_filters_are_sent(fleet: StubFleet) -> None:
    fleet.document("/v1/audit", {"items": ITEMS})
    listed = leadplane("audit", columns=200)
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert lines[0][:5] == ["NUMBER", "WHEN", "BY", "KIND", "SUBJECT"]
    assert [line[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert "s03 n2 (expired)" in listed.stdout
    assert "x" * 200 not in listed.stdout
    assert fleet.last("GET", "/v1/audit").query["last"] == "20"
    options = ["--kind", "drain", "--subject", "node n1", "--since", "2026-03-01T12:00:00+00:00"]
    leadplane("audit", "list", *options, "-o", "json")
    query = fleet.last("GET", "/v1/audit").query
    assert (query["kind"], query["subject"], query["since"]) == (
        "drain", "node n1", "1772366400000",
    )  # fmt: skip
    assert "last" not in query
    assert leadplane("audit", "list", "--until", "noon").exit_code == 2


def test_an_export_has_one_record_a_line_and_is_whole(exported: Path) -> None:
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert lines == ITEMS
    told = leadplane("audit", "verify", str(exported), "--checkpoint", LAST)
    assert (told.exit_code, told.stdout.splitlines()[0]) == (0, "whole: 4 records, 1 to 4")
    as_json = leadplane("audit", "verify", str(exported), "--checkpoint", LAST, "-o", "json")
    assert json.loads(as_json.stdout) == WHOLE
    assert leadplane("audit", "verify", str(exported), "-o", "yaml").exit_code == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [{**lines[0], "principal": "mallory"}, *lines[1:]], "record 1 was changed"),
        (lambda lines: [*lines[:3], {**lines[3], "after": {}}], "record 4 was changed"),
        (lambda lines: [*lines[:1], *lines[2:]], "record 2 is missing"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "record 2 comes after 3"),
        (lambda lines: lines[:3], "record 4 of the checkpoint is missing: records end with 3"),
        (lambda lines: [], "record 4 of the checkpoint is missing: records end with 0"),
    ],
    ids=["edit", "edit of the last", "hole", "order", "tail", "nothing"],
)
def test_a_file_that_is_not_as_it_was_is_known(exported: Path, change: Any, problem: str) -> None:
    file = rewritten(exported, change)
    told = leadplane("audit", "verify", str(file), "--checkpoint", LAST)
    assert told.exit_code == 1
    assert told.stdout.startswith("NOT WHOLE")
    assert f"problem:    {problem}" in told.stdout


def test_a_checkpoint_is_read_from_a_file_whose_last_line_counts(
    exported: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "checkpoints"
    kept.write_text(f"2:{ITEMS[1]['digest']}\n{LAST}\n\n")
    assert (
        "checkpoint: matches"
        in leadplane("audit", "verify", str(exported), "--checkpoint", str(kept)).stdout
    )
    cut = rewritten(exported, lambda lines: lines[:2])
    assert leadplane("audit", "verify", str(cut), "--checkpoint", str(kept)).exit_code == 1
    for bad in ("4:abc", str(tmp_path / "none")):
        assert leadplane("audit", "verify", str(cut), "--checkpoint", bad).exit_code == 2


def test_what_is_no_export_is_refused_with_its_line(fleet: StubFleet, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    for line in ("nonsense", "[]", '{"sequence": 1}', '{"sequence": true, "digest": "a"}'):
        file.write_text(json.dumps(ITEMS[0]) + "\n" + line + "\n")
        told = leadplane("audit", "verify", str(file))
        assert (told.exit_code, "line 2 is no record" in told.stderr) == (1, True), line


def test_the_fleet_is_asked_and_its_word_is_the_exit_status(fleet: StubFleet) -> None:
    fleet.document("/v1/audit/verify", WHOLE)
    told = leadplane("audit", "verify", "--checkpoint", LAST)
    assert told.exit_code == 0
    assert f"keep this:  {LAST}" in told.stdout
    assert fleet.last("GET", "/v1/audit/verify").query["checkpoint"] == LAST
    broken = WHOLE | {
        "valid": False, "problem": "record 3 was changed", "at": 3, "checkpoint": "trimmed",
        "holes": [{"first": 2, "last": 2}],
    }  # fmt: skip
    fleet.document("/v1/audit/verify", broken)
    told = leadplane("audit", "verify")
    assert told.exit_code == 1
    assert "missing:    2 to 2" in told.stdout
    assert "older than all that is kept" in told.stdout
