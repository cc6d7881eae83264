"""Every way in which a request can be answered with "no": one table for servers, clients and docs.

A problem has a *kind*, the last part of its `type` (`/problems/<kind>`), and one kind has one
status. Kinds are stable; words are not. What a client can rely on, whatever the kind:

    4xx        not done, and sending the same again will not help until something else changed
    421        not done here: `leader` says where to go
    503, 507   not done; `retry_after_ms`, where given, says when trying again makes sense
    504        unknown: it was sent on and not confirmed, so it may have happened
    500        a defect of the server; of a write nothing is known
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controlplane.requests import LeaderHint, Problem, Refused

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/problems/"
RETRY_AFTER_MS: Final = 250
"""When to try again where nobody knows better: a leader is often back within a second or two."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of refusal: its name, its status, what it means, whether a retry can help."""

    name: str
    status: int
    title: str
    retry: bool = False

    @property
    def type(self) -> str:
        """The `type` member of the problem document: a reference relative to the server."""
        return TYPE_PREFIX + self.name


def _table(*kinds: ProblemKind) -> dict[str, ProblemKind]:
    return {kind.name: kind for kind in kinds}


KINDS: Final[Mapping[str, ProblemKind]] = _table(
    # What the client sent cannot be understood, or is not allowed.
    ProblemKind("malformed", 400, "The request is not HTTP as this server understands it"),
    ProblemKind("invalid", 400, "The request is not valid; `errors` says where"),
    ProblemKind("no-such-route", 404, "There is nothing at this path"),
    ProblemKind("no-such-key", 404, "The key has no value"),
    ProblemKind("unknown-shard", 404, "There is no such shard"),
    ProblemKind("unknown-node", 404, "There is no such node"),
    ProblemKind("unknown-group", 404, "There is no such group"),
    ProblemKind("unknown-store", 404, "There is no such store"),
    ProblemKind("unknown-region", 404, "There is no such region"),
    ProblemKind("unknown-resharding", 404, "There is no such resharding, or it is not remembered"),
    ProblemKind("unknown-document", 404, "There is no such document"),
    ProblemKind("unknown-version", 404, "The document has no such version, or it is not kept"),
    ProblemKind("unknown-rollout", 404, "There is no such rollout, or it is not remembered"),
    ProblemKind("method-not-allowed", 405, "This path does not know this method"),
    ProblemKind("request-timeout", 408, "The request did not arrive in time"),
    ProblemKind("too-old", 409, "The retry is older than the memory of ids; it was not executed"),
    ProblemKind("no-candidate", 409, "No node there can take over the shard"),
    ProblemKind("not-changed", 409, "The group's stores cannot be changed so, or not now"),
    ProblemKind("group-not-made", 409, "No group can be made of these regions, or not now"),
    ProblemKind("group-not-dropped", 409, "The group has to stay, or has to for now"),
    ProblemKind("not-resharded", 409, "The shard cannot be moved, split or merged so, or not now"),
    ProblemKind("unsplittable", 409, "All that the shard has is one slot"),
    ProblemKind("document-in-use", 409, "Something needs what the edit would take away"),
    ProblemKind("unknown-write", 404, "There is no such write in the memory of this node"),
    ProblemKind("unknown-plan", 404, "There is no such plan here; make it again"),
    ProblemKind("plan-outdated", 409, "The fleet is not any more as the plan has it"),
    ProblemKind("not-appliable", 409, "This plan cannot be carried out"),
    ProblemKind("drain-refused", 409, "The place cannot be drained, or not so; `reason` says why"),
    ProblemKind("rollout-refused", 409, "The rollout cannot be begun, or changed so, now"),
    ProblemKind("rollout-unfinished", 409, "Another one is not over; `rollout` says which"),
    ProblemKind("move-refused", 409, "The shard is not moved there, or not now; `reason` says why"),
    ProblemKind("placement-busy", 409, "Another plan is being carried out"),
    ProblemKind("no-placement", 409, "No placement keeps every constraint; `conflict` says which"),
    ProblemKind("built-in", 409, "This document belongs to every fleet"),
    ProblemKind("compacted", 410, "What comes right after this revision is no longer kept"),
    ProblemKind("precondition-failed", 412, "The key does not have the version that was asked for"),
    ProblemKind("document-changed", 412, "The document is not as it was when it was read"),
    ProblemKind("too-large", 413, "The request is larger than allowed"),
    ProblemKind("unsupported-media-type", 415, "The body is not of a type this path takes"),
    ProblemKind("expectation-failed", 417, "The expectation cannot be met"),
    ProblemKind("not-leader", 421, "This node does not lead the shard; `leader` says who does"),
    ProblemKind("precondition-required", 428, "Say which version is to be changed"),
    ProblemKind("header-too-large", 431, "A line of the request is longer than allowed"),
    ProblemKind("idempotency-mismatch", 422, "This idempotency key was used for another request"),
    # Nothing is wrong with the request, but it was not done.
    ProblemKind("too-many-streams", 503, "This node serves as many streams as it may", retry=True),
    ProblemKind("no-leader", 503, "The shard has no leader at the moment", retry=True),
    ProblemKind("leader-unreachable", 503, "This node cannot reach the leader", retry=True),
    ProblemKind("no-member", 503, "No node of the group can be reached from here", retry=True),
    ProblemKind("no-quorum", 503, "A majority of the shard's stores is out of reach", retry=True),
    ProblemKind("transferring", 503, "The shard is being handed over", retry=True),
    ProblemKind("stale", 503, "No copy here is as fresh as was asked for", retry=True),
    ProblemKind("overloaded", 503, "This node has as much work waiting as it may", retry=True),
    ProblemKind("wrong-role", 503, "This node does not have the role that was asked for"),
    ProblemKind("planning-failed", 503, "The planning process failed", retry=True),
    ProblemKind("not-ready", 503, "This node is not ready to serve", retry=True),
    ProblemKind("quota-exceeded", 507, "The shard may not hold more"),
    ProblemKind("store-full", 507, "Too few of the shard's stores have room", retry=True),
    # Nobody knows.
    ProblemKind("unknown-outcome", 504, "It was sent and not confirmed: it may have happened"),
    ProblemKind("internal", 500, "A defect of this server"),
)


@dataclass(frozen=True, slots=True)
class InputError:
    """One thing that is wrong with a request, and where.

    Exactly one of the places is given: a JSON pointer into the body (`#/to_node`), or the name of a
    parameter of query or path, or of a header.
    """

    detail: str
    pointer: str = ""
    parameter: str = ""
    header: str = ""

    def document(self) -> dict[str, str]:
        """The member of `errors[]`."""
        places = {"pointer": self.pointer, "parameter": self.parameter, "header": self.header}
        return {"detail": self.detail} | {name: at for name, at in places.items() if at}


class RequestRefused(Exception):
    """A request ends here, with this problem. Raised by whatever serves it, at any depth.

    `more` are further members of the document; `headers` go with the answer.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[InputError] = (),
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = KINDS[kind]
        self.detail = detail
        self.errors = tuple(errors)
        self.more = dict(more or {})
        self.headers = dict(headers or {})
        if retry_after_ms is None and self.kind.retry:
            retry_after_ms = RETRY_AFTER_MS
        self.retry_after_ms = retry_after_ms

    def document(self) -> dict[str, Any]:
        """The problem document of RFC 9457, without `instance`."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [error.document() for error in self.errors]
        if self.retry_after_ms is not None:
            document["retry_after_ms"] = self.retry_after_ms
        return document | self.more

    def all_headers(self) -> dict[str, str]:
        """Headers of the answer, with Retry-After in whole seconds, rounded up."""
        if self.retry_after_ms is None:
            return self.headers
        return self.headers | {"Retry-After": str(-(-self.retry_after_ms // 1000))}


def invalid(*errors: InputError) -> RequestRefused:
    """The refusal of bad input: what is wrong in one sentence, and each place by itself."""
    first = errors[0]
    where = first.parameter or first.header or first.pointer
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return RequestRefused("invalid", f"{where}: {first.detail}{others}", errors=errors)


def from_refusal(refused: Refused) -> RequestRefused:
    """The problem that a refusal of the node becomes."""
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if refused.leader is not None:
        more["leader"] = leader_document(refused.leader)
    if refused.problem is Problem.PRECONDITION_FAILED and refused.version is not None:
        more["version"] = refused.version
        headers["Leadplane-Version"] = str(refused.version)
    return RequestRefused(
        refused.problem.value,
        refused.detail,
        more=more,
        headers=headers,
        retry_after_ms=refused.retry_after_ms,
    )


def leader_document(leader: LeaderHint) -> dict[str, Any]:
    """The `leader` member of documents and problems."""
    return {
        "node": leader.node,
        "region": leader.region,
        "url": leader.url,
        "epoch": leader.epoch,
    }
