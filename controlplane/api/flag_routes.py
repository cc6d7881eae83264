"""The routes of feature flags: for those who evaluate themselves, and for those who let a node."""

from __future__ import annotations

from typing import Final

from controlplane.api import flag_pages, ofrep
from controlplane.api.flag_copy import FlagDocuments
from controlplane.api.headers import IF_NONE_MATCH
from controlplane.api.route import Answer, Endpoint, Header, Needs

FLAGS_TAG: Final = (Header("ETag", "What If-None-Match takes next time.", required=True),)
EVALUATED: Final = (
    "invalid",
    "not-ready",
    "too-large",
    "request-timeout",
    "unsupported-media-type",
)

FLAGS: Final = (
    Endpoint(
        "GET",
        "/v1/flags",
        flag_pages.get_flags,
        "The documents of feature flags in force at the answering node",
        "flags",
        Needs.READER,
        (
            Answer(200, "All of them.", FlagDocuments, headers=FLAGS_TAG),
            Answer(304, "They are still the same.", headers=FLAGS_TAG),
        ),
        ("invalid", "not-ready", "too-many-streams"),
        flag_pages.FLAG_PARAMETERS,
        (IF_NONE_MATCH,),
    ),
    Endpoint(
        "POST",
        "/ofrep/v1/evaluate/flags/{flag}",
        ofrep.evaluate_flag,
        "Evaluate a feature flag (OFREP)",
        "flags",
        Needs.READER,
        (
            Answer(200, "What it comes to.", ofrep.EvaluationSuccess),
            Answer(400, "It comes to nothing for this context.", ofrep.EvaluationFailure),
            Answer(404, "There is no such flag.", ofrep.EvaluationFailure),
        ),
        (*EVALUATED, "no-such-route"),
        body=ofrep.EvaluationRequest,
    ),
    Endpoint(
        "POST",
        "/ofrep/v1/evaluate/flags",
        ofrep.evaluate_flags,
        "Evaluate every feature flag (OFREP)",
        "flags",
        Needs.READER,
        (
            Answer(200, "What each comes to.", ofrep.BulkEvaluation, headers=FLAGS_TAG),
            Answer(304, "It is still the same.", headers=FLAGS_TAG),
            Answer(400, "Nothing can be evaluated for this context.", ofrep.BulkFailure),
        ),
        EVALUATED,
        headers=(IF_NONE_MATCH,),
        body=ofrep.EvaluationRequest,
    ),
)
