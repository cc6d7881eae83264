"""What a route is: enough to serve it, to describe it, and to guard it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from controlplane.api.edge import Handler
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS, Parameters


class Needs(Enum):
    """The least role that may use a route. Written down for the day when access is controlled."""

    NOTHING = "nothing"
    READER = "reader"
    WRITER = "writer"
    OPERATOR = "operator"
    PEER = "peer"


class Raw(Enum):
    """Bodies that are not documents."""

    OCTETS = "application/octet-stream"
    EVENTS = "text/event-stream"
    TEXT = "text/plain"
    OPEN_METRICS = "application/openmetrics-text"
    SVG = "image/svg+xml"


@dataclass(frozen=True, slots=True)
class Header:
    """A header of requests or answers that means something to us.

    `pattern`, where there is one, is the regular expression that every good value matches.
    """

    name: str
    description: str
    required: bool = False
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One good answer of a route.

    `model` is any type that pydantic can describe; with `listed` the answer is a page of them.
    """

    status: int
    description: str
    model: Any = None
    raw: tuple[Raw, ...] = ()
    listed: bool = False
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method at one path. `also_head`: HEAD answers the same, without a body."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    needs: Needs
    answers: tuple[Answer, ...]
    problems: tuple[str, ...]
    parameters: Parameters = NO_PARAMETERS
    headers: tuple[Header, ...] = ()
    body: type[BaseModel] | Raw | None = None
    also_head: bool = False

    @property
    def operation_id(self) -> str:
        """The name of this endpoint for those who generate clients: that of its handler."""
        return self.handler.__name__


def page_route(path: str, handler: Handler, summary: str, tag: str, model: Any) -> Endpoint:
    """A list that comes in pages."""
    return Endpoint(
        "GET",
        path,
        handler,
        summary,
        tag,
        Needs.READER,
        (Answer(200, "One page, by name.", model, listed=True),),
        ("invalid",),
        LIST_PARAMETERS,
    )


def document_route(
    path: str,
    handler: Handler,
    summary: str,
    tag: str,
    model: Any,
    *problems: str,
    headers: tuple[Header, ...] = (),
) -> Endpoint:
    """One document; `headers` come with the answer."""
    answers = (Answer(200, "As the answering node sees it.", model, headers=headers),)
    return Endpoint(
        "GET", path, handler, summary, tag, Needs.READER, answers, ("invalid", *problems)
    )
