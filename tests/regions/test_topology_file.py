"""Topology documents as text: every mistake is named, with its place, its line and a way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regions.errors import TopologyInvalid
from regions.findings import Finding, Severity
from regions.marked_yaml import BYTES_MAX
from regions.reference import default_topology, region_names
from regions.topology_file import dump_topology, load_topology, read_topology

MINIMAL = """\
regions:
  - name: here
    latitude: 52.5
    longitude: 13.4
    zones: [a, b, c]
stores:
  - {id: s1, region: here, zone: a, host: 127.0.0.1, port: 7001}
  - {id: s2, region: here, zone: b, host: 127.0.0.1, port: 7002}
  - {id: s3, region: here, zone: c, host: 127.0.0.1, port: 7003}
"""


def findings_of(text: str) -> list[tuple[str, int | None, str]]:
    """Give pointer, line and message of every error."""
    reading = read_topology(text)
    assert reading.topology is None, "the document was accepted"
    errors = [item for item in reading.findings if item.severity is Severity.ERROR]
    assert all(item.hint for item in errors)
    return [(item.pointer, item.line, item.message) for item in errors]


def only_finding(text: str) -> Finding:
    """Give the one finding a document gets."""
    (finding,) = read_topology(text).findings
    return finding


def test_a_minimal_document_gets_its_groups() -> None:
    topology = load_topology(MINIMAL)
    assert [group.name for group in topology.groups] == ["global", "region/here"]
    assert topology.group("region/here").stores == ("s1", "s2", "s3")
    assert topology.group("region/here").ttl_ms == 2_000
    assert topology.group("global").ttl_ms == 6_000


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    topology = default_topology(region_names())
    path = tmp_path / "fleet.yaml"
    path.write_text(dump_topology(topology), encoding="utf-8")
    assert load_topology(path) == topology


def test_every_structural_mistake_is_reported_at_once_with_its_line() -> None:
    text = """\
regions:
  - name: Here
    latitude: 152.5
    longitude: 13.4
    zones: []
    colour: red
stores:
  - {id: s1, region: here, zone: 1, host: 127.0.0.1, port: 70010}
  - {id: s2, region: here, host: 127.0.0.1, prot: 7002}
  - 17
nodes: none
rtt_ms:
  here: {there: fast}
"""
    assert findings_of(text) == [
        ("/regions/0/name", 2, "'Here' does not have the right form"),
        ("/regions/0/latitude", 3, "should be less than or equal to 90, not 152.5"),
        ("/regions/0/zones", 5, "at least one is needed here"),
        ("/regions/0/colour", 6, "there is no field `colour` here"),
        ("/stores/0/zone", 8, "should be a valid string, not 1"),
        ("/stores/0/port", 8, "should be less than or equal to 65535, not 70010"),
        ("/stores/1/zone", 9, "`zone` is missing"),
        ("/stores/1/port", 9, "`port` is missing"),
        ("/stores/1/prot", 9, "there is no field `prot` here"),
        ("/stores/2", 10, "should be a mapping of fields, not 17"),
        ("/nodes", 11, "should be a list, not 'none'"),
        ("/rtt_ms/here/there", 13, "should be a valid number, not 'fast'"),
    ]


def test_a_misspelt_field_gets_the_right_one_as_a_hint() -> None:
    findings = read_topology(MINIMAL.replace("port: 7001", "prot: 7001")).findings
    hints = {item.pointer: item.hint for item in findings}
    assert hints["/stores/0/prot"] == "did you mean `port`?"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "the document is empty"),
        ("# nothing\n", None, "the document is empty"),
        ("regions: [\n", 2, r"this is not YAML: .*"),
        ("regions: &r []\nstores: *r\n", 2, r"aliases \(\*name\) are not allowed"),
        ("regions: []\nregions: []\n", 2, "this key is given twice"),
        ("{1: 2}", 1, "the key 1 is not text"),
        ("true: 2", 1, "the key True is not text"),
        ("? [a]\n: 1\n", 1, "the key None is not text"),
        ("a: 2026-13-45", 1, "'2026-13-45' cannot be read as timestamp"),
        ("a: !!python/object:os.system x", 1, "'x' cannot be read as .*"),
        ("---\na: 1\n---\nb: 2\n", 3, "this is not YAML: .*"),
        ("[" * 100_000, 1, "nested deeper than 16 levels"),
        ("x" * (BYTES_MAX + 1), None, "the document is longer than .*"),
        ("a: \x07", None, "this is not YAML: .*"),
        ("a: " + "9" * 5_000, 1, "'9999.*' cannot be read as int"),
        ("just words", 1, "should be a mapping of fields, not .*"),
        ("[1, 2]", 1, "should be a mapping of fields, not .*"),
    ],
)
def test_what_is_no_plain_document_is_refused(text: str, line: int | None, message: str) -> None:
    finding = only_finding(text)
    assert re.fullmatch(message, finding.message, re.DOTALL), finding.message
    assert finding.line == line
    assert finding.severity is Severity.ERROR


def test_mistakes_of_sense_carry_lines_too() -> None:
    text = MINIMAL.replace("zone: b", "zone: z").replace("port: 7003", "port: 7001")
    assert findings_of(text) == [
        ("/stores/1/zone", 8, "here has no zone 'z'"),
        ("/stores/2/port", 9, "127.0.0.1:7001 is the address of s1 already"),
    ]


def test_warnings_leave_a_document_usable() -> None:
    reading = read_topology(MINIMAL)
    assert reading.topology is not None
    (warning,) = reading.findings
    assert warning.severity is Severity.WARNING
    assert warning.message.startswith("global: every voter stands in region here")


def test_loading_raises_with_everything_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(MINIMAL.replace("7001", "0").replace("[a, b, c]", "[a, b, C]"))
    with pytest.raises(TopologyInvalid) as failure:
        load_topology(path)
    assert len(failure.value.findings) == 2
    assert str(path) in str(failure.value)
    assert "line 7, /stores/0/port" in str(failure.value)
    assert "line 5, /regions/0/zones/2" in str(failure.value)


def test_a_file_that_cannot_be_read_is_a_finding_as_well(tmp_path: Path) -> None:
    with pytest.raises(TopologyInvalid, match="No such file"):
        load_topology(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(TopologyInvalid, match="not UTF-8"):
        load_topology(tmp_path / "latin.yaml")
    with pytest.raises(TopologyInvalid, match="directory"):
        load_topology(tmp_path)
