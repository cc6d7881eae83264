"""The feature flags in force at this node, made ready to be evaluated and told apart by a tag."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from config.document import FLAGS_PREFIX
from config.flags import CompiledDocument, FlagSet, compile_document
from config.revision import Revision
from controlplane.api.service import Service
from controlplane.problems import RequestRefused

TAG_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class FlagDocument:
    """One document of flags in force."""

    name: str
    version: int
    digest: str
    content: Any


@dataclass(frozen=True, slots=True)
class FlagDocuments:
    """Every document of flags in force at a node, for those who evaluate by themselves."""

    node: str
    region: str
    documents: tuple[FlagDocument, ...]


class FlagCopy:
    """Documents of flags as the node has them in force; compiled again only where they changed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._revisions: tuple[Revision, ...] = ()
        self._compiled: dict[str, tuple[Revision, CompiledDocument]] = {}
        self.flags = FlagSet()
        self.tag = self._tag()

    def look(self) -> None:
        """Take up what is in force by now. Raises RequestRefused while that is not known.

        A node that has just started knows no documents yet; that is not to be taken for a fleet
        without flags.
        """
        if not self._service.map_version:
            code = {"errorCode": "PROVIDER_NOT_READY", "errorDetails": "this node has just started"}
            raise RequestRefused("not-ready", "this node knows no documents yet", more=code)
        revisions = self._service.documents().beginning(FLAGS_PREFIX)
        if revisions == self._revisions:
            return
        self._revisions = revisions
        self._compiled = {each.name: (each, self._compile(each)) for each in revisions}
        self.flags = FlagSet(compiled for _, compiled in self._compiled.values())
        self.tag = self._tag()

    def documents(self) -> FlagDocuments:
        """What the last look found."""
        here = self._service.identity
        return FlagDocuments(
            here.node,
            here.region,
            tuple(
                FlagDocument(each.name, each.version, each.digest, each.content)
                for each in self._revisions
            ),
        )

    def _compile(self, revision: Revision) -> CompiledDocument:
        known = self._compiled.get(revision.name)
        if known is not None and known[0] == revision:
            return known[1]
        region = self._service.identity.region
        return compile_document(revision.name, revision.version, revision.content, region)

    def _tag(self) -> str:
        """The same at every node of a region that has the same in force."""
        parts = [self._service.identity.region]
        parts += [f"{each.name} {each.version} {each.digest}" for each in self._revisions]
        return sha256("\n".join(parts).encode()).hexdigest()[:TAG_DIGITS]
