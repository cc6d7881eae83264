"""How each alert is shown: fired by a real fault here, or by made-up series alone, and why.

At a sixtieth of all times an hour takes a minute; but leases, and what nodes count by themselves,
take as long as ever. So a failover of two seconds is one of two minutes for the rules: it pages.
"""

from __future__ import annotations

from typing import Final

FAILOVER: Final = frozenset(
    {"LeadplaneNoLeader", "LeadplaneAvailabilityBurnFast", "LeadplaneAvailabilityBurnHigh"}
)
"""Pages that a failover makes at this scale."""

FIRED: Final = FAILOVER | {
    "LeadplaneAvailabilityBurnCreeping",
    "LeadplaneAvailabilityBurnSlow",
    "LeadplaneBlind",
    "LeadplaneElectionsBurnFast",
    "LeadplaneElectionsBurnHigh",
    "LeadplaneFencedOperations",
    "LeadplaneFlapping",
    "LeadplaneFollowerLag",
    "LeadplaneGroupLost",
    "LeadplaneLoopLag",
    "LeadplaneNoSpareStores",
    "LeadplaneNobodyAnswers",
    "LeadplaneNodeSilent",
    "LeadplanePlacementInfeasible",
    "LeadplaneProbeFailed",
    "LeadplaneRegionDown",
    "LeadplaneRenewalsBurnFast",
    "LeadplaneRenewalsBurnHigh",
    "LeadplaneRolloutStuck",
    "LeadplaneStoreDown",
    "LeadplaneStoreFilling",
    "LeadplaneStoreRefused",
}

LINGERS: Final = {
    "LeadplaneAvailabilityBurnSlow": "its short window is two minutes here",
    "LeadplaneAvailabilityBurnCreeping": "its short window is six minutes here",
}
"""Fired, and not waited for until they end."""

MADE_UP: Final = {
    "LeadplaneElectionStuck": "candidates that live and come to nothing for four leases: a defect,"
    " or a store that answers and takes no grants",
    "LeadplaneOrphanedTasks": "a defect: nothing done from outside leaves a request unanswered",
    "LeadplaneReconcileSlow": "a takeover of more than a minute, whatever the scale",
    "LeadplaneRoutingTableOld": "a node that reads no store for a minute, whatever the scale",
    "LeadplaneStaleOperationAccepted": "a store that breaks its promises: real ones do not",
    "LeadplaneStoreErrors": "nodes spare a store that refuses: at most now and then a call",
    "LeadplaneTakeoverErrors": "stores lost in the milliseconds of a recovery: a matter of luck",
    "LeadplaneVersionSkew": "a second release, for a day: 24 minutes here",
}
"""Shown by tests/telemetry/rule_cases.yaml alone."""
