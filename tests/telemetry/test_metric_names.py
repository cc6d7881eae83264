"""Every metric is documented, every documented one exists, and all names follow the conventions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.telemetry.exposed import shown

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(
    r"^\| `(leadplane_[a-z0-9_]+)` \| (counter|gauge|histogram)[^|]* \|([^|]*)\|", re.MULTILINE
)
UNITS = ("_seconds", "_bytes", "_per_second", "_usd_per_month")
FOREIGN = ("process_", "python_")


def exposed() -> dict[str, tuple[str, set[str]]]:
    """By the name that is scraped: its kind and its labels, as far as there are samples."""
    found = {}
    for family in shown().registry.collect():
        if family.name.startswith(FOREIGN):
            continue
        name = family.name + "_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    return found


def documented() -> dict[str, tuple[str, set[str]]]:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {
        name: (kind, set(re.findall(r"[a-z_]+", re.sub(r"\([^)]*\)", "", labels))))
        for name, kind, labels in rows
    }


def test_the_page_has_every_metric_and_no_other() -> None:
    shown_names, page = exposed(), documented()
    assert len(page) > 60
    assert sorted(shown_names) == sorted(page)


def test_the_page_says_what_kind_each_is_and_which_labels_it_has() -> None:
    page = documented()
    for name, (kind, labels) in exposed().items():
        assert kind == page[name][0], name
        if labels:
            assert labels == page[name][1], name


def test_names_follow_the_conventions() -> None:
    for name, (kind, _) in exposed().items():
        assert name.startswith("leadplane_")
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|millis|kb|mb|minutes|hours)(_|$)", name), name
        if kind == "histogram":
            assert name.endswith(UNITS), name


@pytest.mark.needs_binary("promtool")
def test_promtool_has_nothing_to_say(needs_binary: Callable[[str], Path]) -> None:
    text = "".join(
        f"{line}\n"
        for line in shown().text().decode().splitlines()
        if not line.startswith(("process_", "python_", "# HELP p", "# TYPE p"))
    )
    done = subprocess.run(
        [needs_binary("promtool"), "check", "metrics"],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
