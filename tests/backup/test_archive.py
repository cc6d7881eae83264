"""The file of a backup: it comes out as it went in, or it is refused."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from controlplane.backup.archive import MANIFEST, MANIFEST_SUM, framed, new_backup, open_backup
from controlplane.backup.manifest import Manifest, SavedGroup, SavedShard
from controlplane.errors import BackupInvalid, BackupRefused

FRAMES: list[list[Any]] = [
    ["shard", "7", 3, "placed"],
    ["page", "kv", [["part\0k", "7 \udcff\udcfe"], ["part\0l", "8 v"]]],
    ["data", "7", 9, 4711, 11],
    ["log", 9, 4711, ["\udcffentry", "another"]],
]
GROUP = SavedGroup("global", 4, 6_000, 0, 0, False, ("a", "b", "c"), ())


def saved(path: Path, force: bool = False) -> Manifest:
    """Write a small backup of two shards that hold the same."""
    with new_backup(path, force) as writer:
        shards = []
        for name in ("s01", "system"):
            with ExitStack() as stack:
                spool = stack.enter_context(writer.spool())
                for frame in FRAMES:
                    spool.write(framed(frame))
                kept = writer.keep([spool])
            shards.append(
                SavedShard(
                    name, "global", (7, 11, 5), 7, 0, False, "a", kept.section, len(FRAMES), 2, 2,
                    kept.bytes, kept.sha256,
                )
            )  # fmt: skip
        places = {"a": "127.0.0.1:1"}
        manifest = Manifest(1_000, "0.1", "", places, ("n1",), (GROUP,), tuple(shards))
        writer.finish(manifest)
    return manifest


def with_manifest(path: Path, change: dict[str, Any]) -> None:
    """Make the file another one, whose manifest says something else, and is summed up rightly."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(held[MANIFEST]) | change
    held[MANIFEST] = json.dumps(document).encode()
    held[MANIFEST_SUM] = sha256(held[MANIFEST]).hexdigest().encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "b"
    manifest = saved(path)
    with open_backup(path) as backup:
        assert backup.manifest == manifest
        assert [list(backup.frames(shard)) for shard in manifest.shards] == [FRAMES, FRAMES]
        backup.verify()
    assert (manifest.led, [p.name for p in tmp_path.iterdir()]) == (2, ["b"])


def test_a_file_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    saved(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(BackupInvalid, match="no backup"), open_backup(path) as backup:
            backup.verify()


def test_a_byte_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "b"
    saved(path)
    whole, noticed = path.read_bytes(), 0
    with open_backup(path) as backup:
        manifest = backup.manifest
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 0x40,)) + whole[at + 1 :])
        try:
            with open_backup(path) as backup:
                backup.verify()
                found = [list(backup.frames(shard)) for shard in backup.manifest.shards]
                assert (backup.manifest, found) == (manifest, [FRAMES, FRAMES])
        except BackupInvalid:
            noticed += 1
    assert noticed > len(whole) // 5 // 2  # the rest are words of the archive that mean nothing


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no backup"), (b"hello world" * 100, "no backup"), (b"PK\x05\x06" + bytes(18), "no")],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "b"
    path.write_bytes(content)
    with pytest.raises(BackupInvalid, match=why), open_backup(path):
        raise AssertionError("it was opened")


def test_another_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("hello", b"world")
    path.write_bytes(content.getvalue())
    with pytest.raises(BackupInvalid, match="is no backup"), open_backup(path):
        raise AssertionError("it was opened")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version 2 of the format"),
        ({"format": "another"}, "of something else"),
        ({"shards": []}, "sections"),
        ({"groups": []}, "who holds global"),
        ({"groups": [{}]}, "cannot be read"),
        ({"places": None}, "cannot be read"),
    ],
)
def test_a_manifest_that_says_otherwise_is_refused(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    path = tmp_path / "b"
    saved(path)
    with_manifest(path, change)
    with pytest.raises(BackupInvalid, match=why), open_backup(path):
        raise AssertionError("it was opened")


def test_sections_that_are_not_what_was_written_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    manifest = saved(path)
    first, second = manifest.shards
    for other, why in (
        (replace(first, sha256=second.section), "not what was written"),
        (replace(first, frames=3), "not what was written"),
        (replace(first, entries=1), "other counts"),
    ):
        with open_backup(path) as backup:
            backup.manifest = replace(manifest, shards=(other, second))
            with pytest.raises(BackupInvalid, match=why):
                backup.verify()


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([["xyz"], *FRAMES], "no order"),
        ([*FRAMES[:1], FRAMES[3], *FRAMES[1:3]], "no order"),
        (FRAMES[1:], "no order"),
        ([FRAMES[0], ["page"]], "frame that is none"),
        ([FRAMES[0], ["page", "kv", 7]], "frame that is none"),
    ],
)
def test_frames_that_make_no_shard_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: list[list[Any]], why: str
) -> None:
    monkeypatch.setitem(globals(), "FRAMES", frames)
    saved(tmp_path / "b")
    with open_backup(tmp_path / "b") as backup, pytest.raises(BackupInvalid, match=why):
        backup.verify()


def test_a_digest_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "b"
    saved(path)
    with zipfile.ZipFile(path) as archive:
        text = archive.read(MANIFEST)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, text)
        archive.writestr(MANIFEST_SUM, b"0" * 1_000_000)
    with pytest.raises(BackupInvalid, match="digest"), open_backup(path):
        raise AssertionError("it was opened")


def test_a_place_without_hard_links_gets_the_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    saved(tmp_path / "b")
    with open_backup(tmp_path / "b") as backup:
        backup.verify()
    assert [each.name for each in tmp_path.iterdir()] == ["b"]


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(b"precious")
    with pytest.raises(BackupRefused, match="is there already"):
        saved(path)
    assert path.read_bytes() == b"precious"
    manifest = saved(path, force=True)
    with open_backup(path) as backup:
        assert backup.manifest == manifest


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with pytest.raises(BackupRefused, match="meanwhile"), new_backup(path, False):
        path.write_bytes(b"precious")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("b", b"precious")]


@pytest.mark.parametrize("force", [False, True])
def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, force: bool) -> None:
    path = tmp_path / "b"
    path.write_bytes(b"precious")
    with pytest.raises(AttributeError), new_backup(path.with_suffix(".x"), force) as writer:
        writer.keep([io.BytesIO(b"some"), None])  # type: ignore[list-item]
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x" / "b"
    with pytest.raises(BackupRefused, match="cannot be written"), new_backup(path, False):
        raise AssertionError("it was begun")
