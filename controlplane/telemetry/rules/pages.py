"""What wakes somebody up, besides a budget that burns too fast."""

from __future__ import annotations

from typing import Final

from controlplane.telemetry.rules.alert import PAGE, Alert
from controlplane.telemetry.rules.recording import LEADERLESS_NOW

PAGES: Final = (
    Alert(
        "LeadplaneNoLeader",
        f"{LEADERLESS_NOW} > 0",
        30,
        PAGE,
        "stuck-election",
        "Shards have no leader. First: `leadplane doctor` says which groups have no quorum, and"
        " `leadplane shards` what each shard waits for.",
        "{{ $value }} shards have had no valid leader for half a minute, as most nodes judge it.",
    ),
    Alert(
        "LeadplaneNobodyAnswers",
        'max by (job) (up{job=~"leadplane.*"}) == 0',
        30,
        PAGE,
        "control-plane-down",
        "No node can be scraped: nobody leads, or the way from here is cut. First:"
        " `leadplane status` from another place; where no node answers, start stores, then nodes.",
        "Clients route by the tables they have; a fleet that is down says nothing of itself.",
    ),
    Alert(
        "LeadplaneFlapping",
        "max by (job) (leadplane_flapping_shards) > 0",
        60,
        PAGE,
        "flapping",
        "Shards do not come to rest. First: `leadplane_flapping_shard` names some;"
        " `leadplane shards history SHARD` shows between whom it passes, and why.",
        "{{ $value }} shards changed their leader five times or more in a quarter of an hour.",
    ),
    Alert(
        "LeadplaneStaleOperationAccepted",
        "increase(leadplane_stale_operations_accepted_total[{1h}]) > 0",
        0,
        PAGE,
        "split-brain",
        "A store took a write of a superseded epoch, which it must never do. First: find"
        " the store in the log (`grep stale-accepted`), and take it out of its groups.",
        "Seen by {{ $labels.instance }}. The copies of the shard may differ.",
    ),
)
