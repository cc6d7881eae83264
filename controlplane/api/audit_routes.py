"""The routes of the audit log."""

from __future__ import annotations

from typing import Final

from controlplane.api import audit_pages
from controlplane.api.audit_pages import AuditRecord, AuditVerdict
from controlplane.api.headers import PASSED_ON
from controlplane.api.route import Answer, Endpoint, Needs

READ: Final = (
    "invalid", "no-leader", "no-quorum", "leader-unreachable", "not-leader", "stale",
    "overloaded", "not-ready", "unknown-shard",
)  # fmt: skip

AUDIT: Final = (
    Endpoint(
        "GET",
        "/v1/audit",
        audit_pages.list_audit,
        "What was changed, by whom and why, oldest first",
        "audit",
        Needs.OPERATOR,
        (Answer(200, "One page, by number.", AuditRecord, listed=True),),
        READ,
        audit_pages.LIST_PARAMETERS,
        PASSED_ON,
    ),
    Endpoint(
        "GET",
        "/v1/audit/verify",
        audit_pages.verify_audit,
        "Whether anything of the audit log was changed, left out, or cut off",
        "audit",
        Needs.OPERATOR,
        (Answer(200, "What was found.", AuditVerdict),),
        READ,
        audit_pages.VERIFY_PARAMETERS,
        PASSED_ON,
    ),
)
