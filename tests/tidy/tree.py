"""The project's own files, read once."""

import ast
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("regions", "shards", "config", "controlplane")


@dataclass(frozen=True)
class SourceFile:
    """One text file of the project: its path from the root, with slashes, and what it says."""

    path: str
    text: str

    @property
    def stem(self) -> str:
        """The file's name without its folder and its last suffix."""
        return Path(self.path).stem

    @property
    def module(self) -> str:
        """The dotted name by which Python imports this file; a package for an `__init__`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def is_in(self, *folders: str) -> bool:
        """True when the file lies in, or below, one of the folders."""
        return any(self.path.startswith(f"{folder}/") for folder in folders)

    def tree(self) -> ast.Module:
        """The parsed syntax tree; a file that does not parse raises SyntaxError."""
        return _parse(self)


@functools.cache
def _parse(source: SourceFile) -> ast.Module:
    return ast.parse(source.text, filename=source.path)


@functools.cache
def project_paths() -> tuple[str, ...]:
    """Every file that git tracks, or would track, and that is still there."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = {name for name in listing.stdout.split("\0") if name}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


@functools.cache
def project_files() -> tuple[SourceFile, ...]:
    """Every text file of the project; what is not UTF-8 is not text."""
    files = []
    for path in project_paths():
        try:
            text = (ROOT / path).read_bytes().decode()
        except UnicodeDecodeError:
            continue
        files.append(SourceFile(path, text))
    return tuple(files)
