"""The ledger of a campaign: it is kept, taken up again, and survives an interruption."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.simulator.checkers.findings import Violation
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import PRESETS, preset
from tests.prove import course, ledger
from tests.prove.course import COURSE, Tally, scenario_of, tally_of
from tests.prove.ledger import Ledger
from tests.prove.page import page
from tests.prove.run_prove import INTERRUPTED, main

SMALL = Tally(1, 36_000, 0.5, 3, 100, 7, 40, 30, 0, Counter({"zone, crash node": 7}))


def small_ledger() -> Ledger:
    book = Ledger(next_number=10_003)
    book.entry("abc", "a processor", "2026-01-01 10:00").tally.add(SMALL)
    return book


def test_a_run_is_counted_with_its_pairs_and_a_broken_one_with_its_command() -> None:
    report = simulate(3, preset("zone", minutes=0.1))
    tally = tally_of(report, 1.5)
    assert (tally.runs, tally.failures, tally.unknown) == (1, [], 0)
    assert tally.simulated_ms == report.virtual_ms
    assert tally.faults == len(report.faults) == sum(tally.pairs.values())
    assert all(pair.startswith("zone, ") for pair in tally.pairs)
    broken = tally_of(replace(report, violations=(Violation("x", 5, "why"),)), 1.5)
    (failure,) = broken.failures
    assert failure["again"] == "leadplane simulate --seeds 3-3 --scenario zone --minutes 0.1"
    assert failure["violations"] == ["5 ms: x: why"]


def test_the_course_comes_through_every_scenario() -> None:
    assert {scenario_of(number).name for number in range(len(COURSE))} == set(PRESETS)
    assert scenario_of(7) == scenario_of(7 + len(COURSE))


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    book, path = small_ledger(), tmp_path / "results" / "l.json"
    book.entry("abc", "a processor", "2026-01-01 11:00").tally.add(SMALL)
    book.entry("def", "a processor", "2026-01-02 11:00").tally.add(SMALL)
    ledger.write(book, path)
    again = ledger.read(path)
    assert again == book
    assert [(e.commit, e.last, e.tally.runs) for e in again.entries] == [
        ("abc", "2026-01-01 11:00", 2),
        ("def", "2026-01-02 11:00", 1),
    ]
    assert again.total.pairs == {"zone, crash node": 21}
    assert [file.name for file in path.parent.iterdir()] == ["l.json"]
    assert ledger.read(tmp_path / "none.json") == Ledger()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    path.write_text('{"format": 99}')
    with pytest.raises(ValueError, match="no ledger of format"):
        ledger.read(path)


def test_the_page_says_what_is_reached_and_what_is_broken() -> None:
    book = small_ledger()
    text = page(book)
    assert "| simulated hours at abc | 200 | 0.0 | not yet |" in text
    assert "| runs with a violation, in all | 0 | 0 | yes |" in text
    assert "| crash node | 7 |" in text
    assert text.endswith("None.\n")
    failure: dict[str, Any] = {"again": "leadplane simulate", "violations": ["5 ms: x: why"]}
    book.entries[0].tally.failures.append(failure)
    assert "| runs with a violation, in all | 0 | 1 | no |" in page(book)
    assert "* at abc: `leadplane simulate`\n  * 5 ms: x: why" in page(book)


def test_a_slice_is_taken_up_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.prove.run_prove.ProcessPoolExecutor", pool_of_one)
    ran: list[int] = []

    def run(number: int) -> Tally:
        ran.append(number)
        return SMALL

    monkeypatch.setattr(course, "run", run)
    for _ in range(2):
        assert main(["--minutes", "0.001", "--ledger", str(tmp_path / "l")]) == 0
    assert ran[0] == ledger.FIRST_NUMBER
    assert ran == list(range(ran[0], ran[0] + len(ran)))
    (entry,) = ledger.read(tmp_path / "l.json").entries
    assert (entry.slices, entry.tally.runs) == (2, len(ran))
    assert entry.commit in (tmp_path / "l.md").read_text()


def pool_of_one(*_arguments: Any, **_settings: Any) -> Any:
    """Does at once what it is asked, in this process."""
    from concurrent.futures import Future

    def submit(act: Any, *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(act(*arguments))
        return done

    return SimpleNamespace(submit=submit, shutdown=lambda **_: None)


@pytest.mark.timeout(240)
def test_an_interrupted_slice_keeps_what_was_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.prove.run_prove", "--minutes", "5"]
    command += ["--processes", "1", "--ledger", str(tmp_path / "l")]
    slice_ = subprocess.Popen(command, cwd=ledger.ROOT, stdout=subprocess.PIPE, text=True)
    assert slice_.stdout is not None
    assert "1 runs" in slice_.stdout.readline()
    slice_.send_signal(signal.SIGTERM)
    said, _ = slice_.communicate(timeout=100)
    assert slice_.returncode == INTERRUPTED
    assert "interrupted" in said
    (entry,) = json.loads((tmp_path / "l.json").read_text())["entries"]
    assert entry["tally"]["runs"] > 0
    assert (tmp_path / "l.md").exists()


@pytest.mark.parametrize("minutes", ["0", "61"])
def test_a_slice_has_at_most_an_hour(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--minutes", minutes])
    assert "at most 60 minutes" in capsys.readouterr().err
