"""A revision: one version of a document, as it was accepted, with who did it and why.

A revision never changes. It carries the digest of its own content, that of the content before it,
and the digest of the whole revision before it: so the history of a document is a chain in which
nothing can be replaced unseen. The last revision of a document that was deleted says so, and holds
no content; a document made anew under that name goes on counting.

Keys lie in the shard `system`, partition `config`: the current revision of each document under
`head`, all that are kept under `revision`, and one counter, `edition`, which every edit compares
and raises: so edits happen one after the other, and what was checked across documents holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from config.document import digest_of
from regions.codec import as_bytes, pack, unpack

FORMAT: Final = 1
PARTITION: Final = "config"
EDITION_KEY: Final = "{config}/edition"
HEAD_PREFIX: Final = "{config}/head/"
VERSIONS_KEPT_MAX: Final = 64
"""How many revisions of a document are kept unless a node is told otherwise."""
ETAG_DIGITS: Final = 16
DEFAULT_PRINCIPAL: Final = "default"


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a document. Version 0 is what holds before anybody has edited it.

    `schema` names the schema that the content was held to, "" for none or a built-in one. `before`
    is the digest of the content it came after, `previous` that of the whole revision before.
    """

    name: str
    version: int
    data: bytes
    schema: str = ""
    principal: str = DEFAULT_PRINCIPAL
    reason: str = ""
    wall_ms: int = 0
    before: str = ""
    previous: str = ""
    deleted: bool = False
    edition: int = 0

    @property
    def digest(self) -> str:
        """The digest of the content."""
        return digest_of(self.data)

    @property
    def content(self) -> Any:
        """The content as JSON says it; made anew at every call, so it may be changed."""
        return orjson.loads(self.data) if self.data else None

    @property
    def etag(self) -> str:
        """What If-Match names: version and digest, so that content that came back is told apart."""
        return f'"{self.version}-{self.digest[:ETAG_DIGITS]}"'

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return pack(
            [
                FORMAT, self.name, self.version, self.data, self.digest, self.schema,
                self.principal, self.reason, self.wall_ms, self.before, self.previous,
                self.deleted, self.edition,
            ]
        )  # fmt: skip

    def record_digest(self) -> str:
        """The digest of the whole revision, as the next one names it."""
        return digest_of(self.packed()) if self.version else ""


def read_revision(packed: bytes | str) -> Revision:
    """A revision as it was kept. Raises ValueError when it is none, or is not what it was."""
    fields = unpack(as_bytes(packed))
    if not isinstance(fields, list) or len(fields) != 13 or fields[0] != FORMAT:
        raise ValueError("this is not a revision of a format that is known here")
    name, version, data, digest, schema, principal, reason, wall_ms = fields[1:9]
    before, previous, deleted, edition = fields[9:]
    found = Revision(
        name, version, as_bytes(data), schema, principal, reason, wall_ms,
        before, previous, bool(deleted), edition,
    )  # fmt: skip
    if found.digest != digest:
        raise ValueError(f"the content of {name} is not what its digest says")
    return found


def head_key(name: str) -> str:
    """Where the current revision of a document lies."""
    return HEAD_PREFIX + name


def versions_prefix(name: str) -> str:
    """What the keys of a document's revisions begin with. No name holds a slash."""
    return f"{{config}}/revision/{name}/"


def version_key(name: str, version: int) -> str:
    """Where one revision lies; keys sort as versions do."""
    return f"{versions_prefix(name)}{version:012}"
