"""`config edit`: what the editor is given, attempt after attempt, and what is sent of it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane
from tests.cli.test_documents import CHANGE, EDITED, ETAG, VIEW

FLAGS = "/v1/config/flags"
FIRST = f"# flags is version 3, etag {ETAG}\nblue: true\nshare: 0.5\n"
INVALID = {
    "type": "/problems/invalid", "title": "The request is not valid", "status": 400,
    "errors": [{"pointer": "#/content/share", "detail": "is more than 1"}],
}  # fmt: skip
CHANGED = {
    "type": "/problems/document-changed", "title": "It was changed", "status": 412,
    "detail": "flags is version 4 by now",
}  # fmt: skip
EDITOR = """\
import pathlib, sys
attempts = pathlib.Path(sys.argv[1])
seen = sorted(attempts.glob("seen*"))
file = pathlib.Path(sys.argv[2])
(attempts / f"seen{len(seen)}").write_text(file.read_text())
wanted = attempts / f"write{len(seen)}"
if wanted.exists():
    file.write_text(wanted.read_text())
"""


class Editing:
    """Somebody at an editor: what they were shown, and what they make of it each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def will_write(self, *texts: str) -> None:
        """Save these, one at each attempt; after them leave without saving."""
        for number, text in enumerate(texts):
            (self._folder / f"write{number}").write_text(text)

    @property
    def seen(self) -> list[str]:
        """What the editor was opened with."""
        return [path.read_text() for path in sorted(self._folder.glob("seen*"))]


@pytest.fixture
def editing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fleet: StubFleet) -> Editing:
    """An editor that is a program, with document `flags` at version 3."""
    program = tmp_path / "editor.py"
    program.write_text(EDITOR)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {program} {tmp_path}")
    fleet.document(FLAGS, VIEW)
    return Editing(tmp_path)


def sent(fleet: StubFleet) -> list[Any]:
    """The contents that were put."""
    return [json.loads(asked.body)["content"] for asked in fleet.asked if asked.method == "PUT"]


def test_what_is_saved_is_the_next_version(fleet: StubFleet, editing: Editing) -> None:
    fleet.document(FLAGS, {**EDITED, "effect": "rollout", "rollout": 7}, "PUT")
    editing.will_write(FIRST.replace("0.5", "1"))
    done = leadplane("config", "edit", "flags", "--rollout", "linear", "--reason", "more")
    assert done.exit_code == 0, done.stderr
    assert editing.seen == [FIRST]
    asked = fleet.last("PUT", FLAGS)
    assert sent(fleet) == [{"blue": True, "share": 1}]
    assert asked.headers["if-match"] == ETAG
    assert asked.query == {"rollout": "linear", "reason": "more"}
    assert "Rollout 7 brings it into force" in done.stdout


def test_leaving_it_as_it_is_sends_nothing(fleet: StubFleet, editing: Editing) -> None:
    done = leadplane("config", "edit", "flags")
    assert (done.exit_code, done.stderr, sent(fleet)) == (0, "Nothing was changed.\n", [])


def test_what_is_refused_comes_back_with_the_reasons_on_top_and_every_comment(
    fleet: StubFleet, editing: Editing
) -> None:
    fleet.document(FLAGS, INVALID, "PUT", 400)
    written = FIRST.replace("share: 0.5", "# as asked for\nshare: 2")
    editing.will_write(written)
    done = leadplane("config", "edit", "flags")
    assert done.exit_code == 1
    top = "#! The request is not valid\n#!   line 6, /share: is more than 1\n"
    assert editing.seen == [FIRST, top + written]
    assert editing.seen[1].splitlines()[5] == "share: 2"
    kept = Path(done.stderr.splitlines()[1].removeprefix("  at:   "))
    assert kept.read_text() == written
    assert f"leadplane config put flags {kept}" in done.stderr


def test_the_reasons_are_not_sent_when_it_is_mended(fleet: StubFleet, editing: Editing) -> None:
    fleet.document(FLAGS, EDITED, "PUT")
    editing.will_write(
        FIRST + "blue: false\n",
        FIRST.replace("0.5", "0.6") + "red: [\n",
        "#! anything\n" + FIRST.replace("0.5", "0.7"),
    )
    done = leadplane("config", "edit", "flags")
    assert done.exit_code == 0, done.stderr
    assert "#! error: line 5, /blue:" in editing.seen[1]
    assert editing.seen[1].splitlines()[4] == "blue: false"
    assert "not YAML" in editing.seen[2]
    assert sent(fleet) == [{"blue": True, "share": 0.7}]


def test_somebody_elses_change_is_shown_and_not_written_over_unseen(
    fleet: StubFleet, editing: Editing
) -> None:
    fleet.document(FLAGS, CHANGED, "PUT", 412)
    fleet.document(f"{FLAGS}/diff", {"diff": [CHANGE]})
    now = {**VIEW, "version": 4, "etag": '"4-cc"', "principal": "alice", "reason": "nights"}
    fleet.one_after_the_other(FLAGS, VIEW, now)
    editing.will_write(FIRST.replace("true", "false"))
    done = leadplane("config", "edit", "flags")
    assert done.exit_code == 1
    assert editing.seen[1] == (
        "#! flags is version 4 by now, made by alice: nights\n"
        "#!   /share: changed from 0.5 to 1\n"
        "#! Take over what is to stay; take this line out to have your text in its place.\n"
        '# flags is version 4, etag "4-cc"\nblue: false\nshare: 0.5\n'
    )
    assert fleet.last("GET", f"{FLAGS}/diff").query == {"from": "3", "to": "4"}
    assert len(sent(fleet)) == 1, "it was left as it was"


def test_a_text_that_lost_its_version_is_told_so(fleet: StubFleet, editing: Editing) -> None:
    fleet.document(FLAGS, EDITED, "PUT")
    editing.will_write("blue: false\n", FIRST.replace("true", "false"))
    assert leadplane("config", "edit", "flags").exit_code == 0
    assert "does not say any more which version was edited" in editing.seen[1]
    assert sent(fleet) == [{"blue": False, "share": 0.5}]
