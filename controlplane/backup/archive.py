"""The file of a backup: a zip archive with one section for each shard, and the manifest last.

    shards/000001 ...   frames, one after the other: length in four bytes (big endian), then one
                        MessagePack value: a kind, and what is of that kind
    manifest.json       what there is; number of frames, records and entries, and SHA-256 of each
    manifest.sha256     of the manifest, hexadecimal

The format is fixed in docs/backup.md.

It is written under a temporary name beside its own, and renamed when it is whole and on the disk.
"""

from __future__ import annotations

import json
import lzma
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from controlplane.backup.manifest import Manifest, SavedShard, read_manifest, write_manifest
from controlplane.errors import BackupInvalid, BackupRefused
from regions.codec import pack, unpack

MANIFEST: Final = "manifest.json"
MANIFEST_SUM: Final = "manifest.sha256"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
SUM_BYTES: Final = 64
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
SPOOL_BYTES: Final = 8 * 1024 * 1024
COPY_BYTES: Final = 1024 * 1024
FAST: Final = 1  # of zlib's levels
READ_WRONG: Final = (
    ValueError, KeyError, IndexError, TypeError, EOFError, OSError, OverflowError, RecursionError,
    RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""What an archive raises whose bytes are not what they were."""
ORDERS: Final = frozenset(
    ("shard", *parts) for n in range(4) for parts in combinations(("page", "data", "log"), n)
)
"""Which kinds of frames a section may hold, one after the other."""


def framed(value: list[Any]) -> bytes:
    """One frame of a section."""
    packed = pack(value)
    return len(packed).to_bytes(4, "big") + packed


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written of a section."""

    section: str
    bytes: int
    sha256: str


class BackupWriter:
    """Takes one whole section after the other. Made by `new_backup`."""

    def __init__(self, archive: zipfile.ZipFile, folder: Path) -> None:
        self._archive = archive
        self._folder = folder
        self._sections = 0

    def spool(self) -> IO[bytes]:
        """Room for frames that may still be thrown away; closed by whoever asked for it."""
        return SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=str(self._folder))

    def keep(self, pieces: list[IO[bytes]]) -> Kept:
        """Write what was spooled as the next section."""
        self._sections += 1
        name, digest, written = f"shards/{self._sections:06d}", sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as section:
            for piece in pieces:
                piece.seek(0)
                while chunk := piece.read(COPY_BYTES):
                    section.write(chunk)
                    digest.update(chunk)
                    written += len(chunk)
        return Kept(name, written, digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Write what the file says of itself; nothing comes after it."""
        text = write_manifest(manifest)
        self._archive.writestr(MANIFEST, text)
        self._archive.writestr(MANIFEST_SUM, sha256(text).hexdigest())


@contextmanager
def new_backup(path: Path, force: bool) -> Iterator[BackupWriter]:
    """Write a file; it has its name only if the block ends well.

    Raises BackupRefused when there is a file of that name, unless forced, or none can be made.
    """
    if path.exists() and not force:
        raise BackupRefused(f"{path} is there already", hint="take another name, or --force")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with open(beside, "xb", opener=_for_its_owner) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=FAST) as archive:
                yield BackupWriter(archive, path.parent)
            file.flush()
            os.fsync(file.fileno())
        if force:
            beside.replace(path)
        else:
            _take_name(beside, path)
    except OSError as error:
        raise BackupRefused(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _take_name(beside: Path, path: Path) -> None:
    """Give the file its name, unless somebody took it meanwhile."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a place that knows no hard links
        try:
            path.touch(0o600, exist_ok=False)
        except FileExistsError:
            raise _taken(path) from None
        beside.replace(path)


def _taken(path: Path) -> BackupRefused:
    return BackupRefused(f"somebody made {path} meanwhile", hint="take another name, or --force")


class Backup:
    """A file that was opened, its manifest read. Made by `open_backup`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive

    def frames(self, shard: SavedShard) -> Iterator[list[Any]]:
        """The frames of a shard's section. Raises BackupInvalid as soon as one is not as it was
        written, or after the last one when the section as a whole is not."""
        digest, frames, size = sha256(), 0, 0
        try:
            with self._archive.open(shard.section) as section:
                while head := section.read(4):
                    length = int.from_bytes(head, "big")
                    if length > FRAME_BYTES_MAX:
                        raise ValueError(f"a frame of {length} bytes")
                    body = section.read(length)
                    digest.update(head)
                    digest.update(body)
                    frames, size = frames + 1, size + 4 + length
                    found = unpack(body)
                    if not isinstance(found, list) or not found:
                        raise ValueError("a frame that is none")
                    yield found
        except READ_WRONG as error:
            raise self._invalid(f"shard {shard.shard}: {error}") from error
        if (digest.hexdigest(), frames, size) != (shard.sha256, shard.frames, shard.bytes):
            raise self._invalid(f"shard {shard.shard} is not what was written")

    def verify(self) -> None:
        """Read all of it. Raises BackupInvalid."""
        for shard in self.manifest.shards:
            records = entries = 0
            kinds: list[str] = []
            try:
                for kind, *rest in self.frames(shard):
                    if kind != (kinds[-1] if kinds else ""):
                        kinds.append(str(kind))
                    records += len(rest[1]) if kind == "page" else 0
                    entries += len(rest[2]) if kind == "log" else 0
            except (IndexError, TypeError) as error:
                raise self._invalid(f"shard {shard.shard} holds a frame that is none") from error
            if tuple(kinds) not in ORDERS:
                raise self._invalid(f"shard {shard.shard} has its parts in no order that there is")
            if (records, entries) != (shard.records, shard.entries):
                raise self._invalid(f"shard {shard.shard} has other counts than it says")

    def _invalid(self, why: str) -> BackupInvalid:
        return BackupInvalid(f"{self.path} cannot be used: {why}")


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """Open a file and read what it says of itself. Raises BackupInvalid for a foreign file, one
    that was cut off, and one of another version of the format."""
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(path.open("rb"))))
            manifest = _manifest_in(archive)
            _require_sections(archive, manifest)
        except READ_WRONG as error:
            raise BackupInvalid(f"{path} is no backup, or not whole: {error}") from error
        yield Backup(path, archive, manifest)


def _manifest_in(archive: zipfile.ZipFile) -> Manifest:
    if archive.getinfo(MANIFEST).file_size > MANIFEST_BYTES_MAX:
        raise ValueError("its manifest is too long to be one")
    if archive.getinfo(MANIFEST_SUM).file_size != SUM_BYTES:
        raise ValueError("the digest of its manifest is none")
    text, kept = archive.read(MANIFEST), archive.read(MANIFEST_SUM)
    if sha256(text).hexdigest().encode() != kept:
        raise ValueError("its manifest was changed after it was written")
    try:
        return read_manifest(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"its manifest is no JSON: {error}") from error


def _require_sections(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    named = [shard.section for shard in manifest.shards]
    held = set(archive.namelist()) - {MANIFEST, MANIFEST_SUM}
    if sorted(named) != sorted(held):
        raise ValueError("it does not hold the sections that its manifest lists")
    unknown = {s.group for s in manifest.shards} - {g.group for g in manifest.groups}
    if unknown:
        raise ValueError(f"it does not say who holds {', '.join(sorted(unknown))}")
