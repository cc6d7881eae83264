"""The headers that routes take and give, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Final

from controlplane.api.route import Header

IDEMPOTENCY_KEY: Final = Header(
    "Idempotency-Key",
    "A name for this operation: repeated under it, it is done once.",
    pattern="^[ -~]{1,255}$",
)
IF_MATCH: Final = Header(
    "If-Match",
    'Only if the key has this version: "17"; any version: *.',
    pattern=r'^("[1-9][0-9]{0,15}"|\*)$',
)
PASSED_ON: Final = (
    Header(
        "Leadplane-Hop",
        "How many nodes have passed the request on; set by nodes.",
        pattern="^[0-9]{1,2}$",
    ),
    Header(
        "Leadplane-Named-Epoch",
        "At which epoch the receiver is said to lead; set by nodes.",
        pattern="^[0-9]{1,16}$",
    ),
)
LAST_EVENT_ID: Final = Header("Last-Event-ID", "Go on behind this event.", pattern="^[0-9]{1,16}$")
IF_NONE_MATCH: Final = Header("If-None-Match", "Answer 304 if this is still what there is.")
CREATE: Final = Header("If-None-Match", "*: only if the key has no value yet.", pattern=r"^\*$")

PROVENANCE: Final = (
    Header("Leadplane-Shard", "The shard of the key.", required=True),
    Header("Leadplane-Epoch", "The epoch in which it was led.", required=True),
    Header("Leadplane-Position", "What the client has seen now; to be echoed.", required=True),
    Header(
        "Leadplane-Staleness-Ms",
        "How old the answer is at most; 0 is current, `unknown` is without a bound.",
        required=True,
    ),
    Header("Leadplane-Served-By", "The node that answered.", required=True),
    Header("Leadplane-Role", "In which role: leader or follower.", required=True),
)
VERSION: Final = (
    Header("Leadplane-Version", "The version of the value.", required=True),
    Header("ETag", "The version in quotes, as If-Match takes it.", required=True),
)
REPLAYED: Final = Header("Idempotency-Replayed", "true: an earlier attempt had done it.")
LOCATION: Final = (Header("Location", "The same request at the leader.", required=True),)
NEW_PLACE: Final = Header("Location", "Where what was begun can be looked at.")
TAGGED: Final = (Header("ETag", "Map version, leadership revision and process.", required=True),)
MATCH_DOCUMENT: Final = Header(
    "If-Match",
    "Only if the document is as it was read: the ETag that came with it. *: whatever it is.",
)
NEW_DOCUMENT: Final = Header(
    "If-None-Match", "*: only if there is no such document yet.", pattern=r"^\*$"
)
DOCUMENT_TAG: Final = (Header("ETag", "What If-Match takes next time.", required=True),)
