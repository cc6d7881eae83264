"""The routes of rollouts."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from controlplane.api import rollout_orders, rollout_pages, rollout_stream
from controlplane.api.edge import Handler
from controlplane.api.headers import IDEMPOTENCY_KEY, LAST_EVENT_ID, NEW_PLACE, PASSED_ON, REPLAYED
from controlplane.api.parameters import LIST_PARAMETERS, ORDER_PARAMETERS
from controlplane.api.placement_routes import KEPT, SENT
from controlplane.api.rollout_bodies import NoChoice, PauseOrder, RollbackOrder, RolloutOrder
from controlplane.api.rollout_views import RolloutDocument
from controlplane.api.route import Answer, Endpoint, Needs, Raw
from controlplane.api.streams import STREAM_PARAMETERS

PROBLEMS: Final = (
    *KEPT, *SENT, "rollout-refused", "unknown-rollout", "quota-exceeded", "store-full",
    "transferring", "unknown-outcome", "idempotency-mismatch",
)  # fmt: skip
BEGINNING: Final = (*PROBLEMS, "rollout-unfinished", "unknown-document", "unknown-version")


def _order(
    path: str, handler: Handler, summary: str, body: type[BaseModel], *, begins: bool = False
) -> Endpoint:
    answers = [Answer(200, "As it is now; or would be.", RolloutDocument, headers=(REPLAYED,))]
    if begins:
        begun = Answer(201, "Begun.", RolloutDocument, headers=(NEW_PLACE, REPLAYED))
        answers.append(begun)
    return Endpoint(
        "POST", path, handler, summary, "rollouts", Needs.OPERATOR, tuple(answers),
        BEGINNING if begins else PROBLEMS, ORDER_PARAMETERS, (IDEMPOTENCY_KEY, *PASSED_ON), body,
    )  # fmt: skip


ROLLOUTS: Final = (
    Endpoint(
        "GET", "/v1/rollouts", rollout_pages.list_rollouts,
        "Rollouts that are remembered, the newest first", "rollouts", Needs.READER,
        (Answer(200, "One page of them.", RolloutDocument, listed=True),), ("invalid",),
        LIST_PARAMETERS,
    ),
    Endpoint(
        "GET", "/v1/rollouts/{rollout}", rollout_pages.get_rollout, "How far a rollout is",
        "rollouts", Needs.READER, (Answer(200, "As it is now.", RolloutDocument),),
        ("invalid", "unknown-rollout"),
    ),
    Endpoint(
        "GET", "/v1/rollouts/{rollout}/events", rollout_stream.watch_rollout,
        "A rollout after each of its transitions, until it is over", "rollouts", Needs.READER,
        (Answer(200, "A stream that ends with the rollout.", None, (Raw.EVENTS,)),),
        ("invalid", "unknown-rollout", "too-many-streams"), STREAM_PARAMETERS, (LAST_EVENT_ID,),
    ),
    _order(
        "/v1/rollouts",
        rollout_orders.start_rollout,
        "Have a version of a document in force everywhere, in waves",
        RolloutOrder,
        begins=True,
    ),
    _order(
        "/v1/rollouts/{rollout}/pause",
        rollout_orders.pause_rollout,
        "Nothing more begins, and the clock of the bake stops",
        PauseOrder,
    ),
    _order(
        "/v1/rollouts/{rollout}/resume",
        rollout_orders.resume_rollout,
        "Go on where it was paused; approve the wave that waits",
        NoChoice,
    ),
    _order(
        "/v1/rollouts/{rollout}/promote",
        rollout_orders.promote_rollout,
        "Skip what is left of the bake and of the gates of this wave",
        NoChoice,
    ),
    _order(
        "/v1/rollouts/{rollout}/abort",
        rollout_orders.abort_rollout,
        "All regions that were reached go back to what they had",
        NoChoice,
    ),
    _order(
        "/v1/rollouts/{rollout}/rollback",
        rollout_orders.roll_back,
        "Abort it; or, if it is over, begin another one, to what was before",
        RollbackOrder,
        begins=True,
    ),
)  # fmt: skip
