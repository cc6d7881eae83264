"""What is wrong in a node's settings is told by field and line, all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.errors import SettingsInvalid
from controlplane.settings import load_settings
from regions.errors import TopologyInvalid
from regions.reference import default_topology
from regions.topology_file import dump_topology

NODE = "eu-central-1-n1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "topology.yaml").write_text(dump_topology(default_topology()))
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "node.yaml"
    path.write_text(text)
    return path


def test_the_topology_says_where_a_node_listens_unless_the_file_does(folder: Path) -> None:
    file = f"node: {NODE}\ntopology: topology.yaml\n"
    assert load_settings(written(folder, file)).address == ("127.0.0.1", 7400)
    moved = load_settings(written(folder, file + "listen_port: 8000\n"))
    assert moved.address == ("127.0.0.1", 8000)


def test_a_topology_can_stand_in_the_file_itself(folder: Path) -> None:
    inline = dump_topology(default_topology(nodes_per_region=1)).replace("\n", "\n  ")
    settings = load_settings(written(folder, f"node: {NODE}\ntopology:\n  {inline}"))
    assert settings.site == settings.topology.nodes[0]
    assert "global" in {group.name for group in settings.topology.groups}


def test_the_environment_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"node: {NODE}\ntopology: topology.yaml\nlimits: {{value_bytes_max: 10}}\n"
    monkeypatch.setenv("LEADPLANE_LIMITS__VALUE_BYTES_MAX", "77")
    monkeypatch.setenv("LEADPLANE_LOG_LEVEL", "debug")
    monkeypatch.setenv("LEADPLANE_URL", "http://127.0.0.1:1")
    settings = load_settings(written(folder, text))
    assert settings.limits.limits().value_bytes_max == 77
    assert settings.log_level == "debug"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("- 1\n", ["mapping"]),
        ("node: [\n", ["line 2"]),
        ("node: x\n", ["line 1, /topology: `topology` is missing"]),
        (
            f"nod: {NODE}\ntopology: topology.yaml\nlimits: {{value_bytes_max: 0}}\n",
            [
                "/node: `node` is missing",
                "line 1, /nod",
                "did you mean `node`",
                "line 3, /limits/v",
            ],
        ),
        ("node: nope\ntopology: topology.yaml\n", ["line 1, /node", "no node 'nope'", NODE]),
        (f"node: {NODE}\ntopology: topology.yaml\nlisten_port: 0\n", ["line 3, /listen_port"]),
        (
            f"node: {NODE}\ntopology: topology.yaml\nfirst_shards: {{survival: never}}\n",
            ["line 3, /first_shards/survival", "never"],
        ),
    ],
)
def test_a_fault_is_named(folder: Path, text: str, places: list[str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(written(folder, text))
    assert [place for place in places if place not in str(caught.value)] == []


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="No such file"):
        load_settings(tmp_path / "none.yaml")


def test_a_fault_in_the_topology_is_told_as_such(folder: Path) -> None:
    (folder / "topology.yaml").write_text("regions: []\n")
    with pytest.raises(TopologyInvalid, match="/regions"):
        load_settings(written(folder, f"node: {NODE}\ntopology: topology.yaml\n"))
    with pytest.raises(TopologyInvalid, match=r"none\.yaml"):
        load_settings(written(folder, f"node: {NODE}\ntopology: none.yaml\n"))


def test_a_fault_in_the_topology_hides_no_other(folder: Path) -> None:
    text = f"node: {NODE}\ntopology: none.yaml\nlisten_port: 0\nlog_level: loud\n"
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(written(folder, text))
    told = str(caught.value)
    for place in ("line 3, /listen_port", "line 4, /log_level", "none.yaml: the topology cannot"):
        assert place in told
    assert "is missing" not in told


def test_a_fault_in_the_environment_is_told_by_its_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADPLANE_LOG_LEVEL", "loud")
    monkeypatch.setenv("LEADPLANE_LIMITS__VALUE_BYTES_MAX", "-1")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(written(folder, f"node: {NODE}\ntopology: topology.yaml\n"))
    told = str(caught.value)
    assert "line 1" not in told
    assert "/log_level: " in told
    assert ", in LEADPLANE_LOG_LEVEL" in told
    assert ", in LEADPLANE_LIMITS__VALUE_BYTES_MAX" in told
