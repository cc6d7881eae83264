"""Reports say what was seen: a page, data, and a picture that is well-formed."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

from controlplane.chaos.report import write_report
from controlplane.chaos.results import record_reports, report_of_this_commit
from controlplane.time_picture import WIDTH
from tests.chaos.made_up_run import MACHINE, WRITES, run

SVG = "{http://www.w3.org/2000/svg}"


def test_a_page_shows_verdicts_faults_and_failovers(tmp_path: Path) -> None:
    page = write_report(run(), tmp_path).read_text("utf-8")
    assert "Every verdict holds." in page
    assert "| ok | one order explains what all clients were told | 1 keys, 201 steps" in page
    assert (
        "| 1.0 s, for 0.1 s | kill to leader of s00 | n1 | a counter: 0 before, 1 after |" in page
    )
    assert "| 1.4 s | s00 | 2 | n2 | 509 ms |" in page
    assert f"| write: ok | {WRITES} |" in page


def test_a_page_says_what_is_not_as_promised(tmp_path: Path) -> None:
    page = write_report(run(diverged=2.0), tmp_path).read_text("utf-8")
    assert "**Not everything is as promised.**" in page
    assert "| **NO** | no stale write was accepted, and stores agree |" in page


def test_a_page_says_when_stores_could_not_be_asked(tmp_path: Path) -> None:
    page = write_report(run(logs=None), tmp_path).read_text("utf-8")
    assert "cannot be asked from here" in page
    assert "final log, once" not in page


def test_data_hold_what_a_program_needs(tmp_path: Path) -> None:
    write_report(run(), tmp_path)
    data = orjson.loads((tmp_path / "report.json").read_bytes())
    assert data["holds"] is True
    assert data["without_leader"]["max_ms"] == 509
    assert [fault["targets"] for fault in data["faults"]] == [["n1"]]
    assert data["scenario"]["faults"][0]["do"] == "kill"


def test_the_picture_has_a_row_for_each_shard_and_fault_within_its_frame(tmp_path: Path) -> None:
    write_report(run(), tmp_path)
    root = ElementTree.parse(tmp_path / "timeline.svg").getroot()
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert "made-up: every verdict holds" in words
    assert {"s00", "n1", "n2", "kill n1", "0 s"} <= set(words)
    for box in root.iter(f"{SVG}rect"):
        right = float(box.get("x", "0")) + float(box.get("width", "0"))
        assert 0 <= right <= WIDTH + 0.1


def test_the_reports_of_a_folder_fit_on_one_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.chaos.results.commit", lambda: MACHINE.commit)
    write_report(run(), tmp_path / "good")
    write_report(run(whole_after_ms=None, not_whole="n1 does not answer"), tmp_path / "wrong")
    left_out = {"clock-rates": "no C compiler"}
    assert report_of_this_commit(tmp_path / "good") is not None
    assert report_of_this_commit(tmp_path / "none") is None
    path = record_reports(tmp_path, left_out, tmp_path / "all-runs")
    page = path.read_text("utf-8")
    assert page.startswith("# All runs\n")
    assert "1 of 2 runs held every verdict" in page
    assert (
        "| made-up | 40% reads, 3 s | yes | 201 | 1 of 1 | 0.0 s | 1 | 509 ms | 509 ms | 509 ms |"
        in page
    )
    assert "| kill | 2 | 509 ms | 509 ms | 509 ms |" in page
    assert "* made-up: the fleet was whole again: n1 does not answer" in page
    assert "* clock-rates: no C compiler" in page
    assert len(orjson.loads((tmp_path / "all-runs.json").read_bytes())["runs"]) == 2


def test_reports_of_another_commit_are_not_recorded(tmp_path: Path) -> None:
    write_report(run(), tmp_path / "old")
    assert report_of_this_commit(tmp_path / "old") is None
    page = record_reports(tmp_path, {}, tmp_path / "all-runs")
    assert "Nothing was run" in page.read_text("utf-8")
