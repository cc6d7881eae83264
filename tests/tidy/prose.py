"""Rules on words: links that lead somewhere, no unfinished marks, no traces of a machine."""

import posixpath
import re
from collections.abc import Iterable, Iterator

from tests.tidy.tree import SourceFile

MARKDOWN_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCED_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
MENTIONED_PAGE = re.compile(r"(?<![\w/.-])docs/[\w/-]+\.md")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)

UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")

# Each is spelled so that this file does not hold what it looks for.
TRACES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![\w.])/(?:work|root|Users)/",
        r"(?<![\w.])/home/\w",
        r"(?<![\w.])/opt/(?:wheels|pypi)",
        r"\b(?:pypi|pythonhosted|npmjs|crates)\.(?:org|io)\b",
        r"\b(?:extra-)?index-url\b",
        r"\b[Ii]ssue #?\d",
    )
)
SHARED_FOLDER = re.compile(r"\.\./shared\b")
SHARED_DATA = re.compile(r"\.\./shared/data\b")
MAY_READ_SHARED_DATA = ("tests", "scripts")
# The rules and the samples that break them on purpose.
RULES_THEMSELVES = ("tests/test_tidy.py", "tests/tidy/prose.py")


def unfinished_marks(source: SourceFile) -> Iterator[str]:
    """What is not done is not in the tree."""
    if source.path in RULES_THEMSELVES:
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{source.path}:{number}: an unfinished mark: {line.strip()[:60]}"


def traces(source: SourceFile) -> Iterator[str]:
    """The project speaks of itself: not of a machine, a registry, or how it was made."""
    if source.path in RULES_THEMSELVES:
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if any(pattern.search(line) for pattern in TRACES) or _reads_outside(source, line):
            yield f"{source.path}:{number}: not of this project: {line.strip()[:60]}"


def _reads_outside(source: SourceFile, line: str) -> bool:
    if source.is_in(*MAY_READ_SHARED_DATA):
        line = SHARED_DATA.sub("", line)
    return SHARED_FOLDER.search(line) is not None


def dead_links(source: SourceFile, pages: Iterable[SourceFile]) -> Iterator[str]:
    """Every relative link of a page, and every page that any file mentions, is there.

    `pages` are all text files of the project. An anchor must be a heading of its page.
    """
    texts = {page.path: page.text for page in pages}
    if source.path in RULES_THEMSELVES:
        return
    for match in MENTIONED_PAGE.finditer(source.text):
        if match[0] not in texts:
            yield f"{source.path}: mentions {match[0]}, which is not there"
    if not source.path.endswith(".md"):
        return
    for match in MARKDOWN_LINK.finditer(FENCED_BLOCK.sub("", source.text)):
        target, _, anchor = match[1].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        folder = posixpath.dirname(source.path)
        path = posixpath.normpath(posixpath.join(folder, target)) if target else source.path
        is_folder = any(other.startswith(f"{path}/") for other in texts)
        if path not in texts and not is_folder:
            yield f"{source.path}: links to {target}, which is not there"
        elif anchor and anchor not in anchors(texts.get(path, "")):
            yield f"{source.path}: links to #{anchor}, which is no heading of {path}"


def anchors(page: str) -> set[str]:
    """The names by which a page's headings are linked to."""
    names = set()
    for match in HEADING.finditer(FENCED_BLOCK.sub("", page)):
        words = re.sub(r"[^\w\s-]", "", match[1].lower())
        names.add(re.sub(r"\s", "-", words))
    return names
