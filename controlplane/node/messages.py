"""What other nodes say: which part of a node takes which message.

Messages are plain data, sent at most once, and nothing that must be right rests on one. What is of
no known kind is from a node of another release, and is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controlplane.node.node import Node


def take_message(node: Node, sender: str, message: dict[str, Any], now_ms: int) -> None:
    """Hand a message to whoever it is for."""
    match message.get("kind"):
        case "handed":
            node.transfers.handed_to_us(message, now_ms)
        case "revoked":
            node.transfers.revoked_of_us(message, now_ms)
        case "opened":
            node.duties.reported(sender, message.get("rows"))
        case "opened-ack":
            node.duties.acknowledged(message.get("keys"))
        case "events":
            node.duties.events.heard(sender, message)
        case "events-kept":
            node.duties.outbox.kept(message.get("process"), message.get("upto"))
        case "audit":
            node.duties.audit_reports.heard(sender, message.get("notes"))
        case "audit-kept":
            node.duties.audit_reports.kept(message.get("names"))
        case "stores":
            node.census.heard(message.get("nodes"), now_ms)
            node.sites.heard(message.get("places"), now_ms)
            node.hearsay.heard(message.get("stores"), message.get("differing"), now_ms)
            node.changes.heard(sender, message.get("changing"), now_ms)
        case "draining":
            node.census.drains(sender, str(message.get("process")))
        case "home-wish":
            node.homecoming.heard(sender, message)
        case "home-leave":
            node.homecoming.answered(message, now_ms)
        case "canary-unsteady":
            node.canary.heard(sender, message)
        case "ping":
            node.round_trips.asked(sender, message.get("number"), now_ms)
        case "pong":
            node.round_trips.answered(sender, message, now_ms)
        case "lease-need":
            node.lease_needs.heard(sender, message, now_ms)
        case "drafted":
            node.reshardings.switching.heard(message, now_ms)
        case "ripe":
            node.reshardings.parents.child_is_ripe(message, now_ms)
        case "load":
            node.reports.heard(sender, message, now_ms)
        case "health":
            node.health.heard(sender, message, now_ms)
        case "read-on":
            node.documents.hurry()
        case "in-force":
            node.documents.heard(sender, message, now_ms)
        case "heat":
            node.heats.heard(sender, message, now_ms)
