"""The bugs to plant: each takes one rule of the protocol away; `rule` says which.

Each of `MUTANTS` is found, by seeds of its scenario or by a directed schedule. The rule behind
`UNSEEN` matters only in schedules that nothing has met yet: it waits here for a simulation that
shows what it is for, and until then only a test of a single store holds it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """In the file at `path`, `old` (which must be there exactly once) becomes `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One planted bug: usually one edit, more where another rule would cover up for it.

    It is hunted by seeds of `scenario`, or, where these would need too many, by a directed
    `schedule`: a file of scenarios/, which must show something else than it says.
    """

    name: str
    rule: str
    edits: tuple[Edit, ...]
    scenario: str = "zone"
    minutes: float = 1.0
    schedule: str = ""
    quick: bool = False  # found within a few seeds: part of every test run


MUTANTS = (
    Mutant(
        "quorum-off-by-one",
        "an election needs a majority of grants",
        (
            Edit(
                "shards/election.py",
                "self._tally = Tally(asked, quorum_of(voters))",
                "self._tally = Tally(asked, quorum_of(voters) - 1)",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "dead-sent-everywhere",
        "`dead` goes only where this watcher saw the counter stand still",
        (
            Edit(
                "shards/election.py",
                "    counter = watch.counter_still(store, grant.holder, now_ms)\n",
                "    holder, stores = grant.holder, range(len(watch.sightings))\n"
                "    seen = [watch.counter_still(other, holder, now_ms) for other in stores]\n"
                "    still = any(counter is not None for counter in seen)\n"
                "    counter = watch.sightings[store][holder].counter if still else None\n",
            ),
            Edit(
                "controlplane/node/standing.py",
                "return still >= group.quorum",
                "return still >= 1",
            ),
        ),
    ),
    Mutant(
        "lease-from-reply",
        "a lease counts from the send time of a renewal",
        (
            Edit(
                "controlplane/node/outgoing.py",
                "revoked = session.renewed(store, lane.sent_ms, result)",
                "revoked = session.renewed(store, now_ms, result)",
            ),
        ),
        scenario="wide",
    ),
    Mutant(
        "short-wait",
        "a challenger waits longer than a holder holds",
        (
            Edit(
                "regions/watch.py",
                "now_ms - sighting.first_seen_ms < self.times.wait_ms:",
                "now_ms - sighting.first_seen_ms < self.times.wait_ms // 2:",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "commit-by-tail",
        "a store's commit index is never raised to its tail",
        (
            Edit(
                "shards/scripts/log.py",
                "on.commit(min(committed, last))",
                "on.commit(committed and shard.ts)",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "append-below-promise",
        "a store refuses appends below its promise",
        (
            Edit(
                "shards/scripts/log.py",
                "    if e < grant.pe:\n        return Code.FENCED\n",
                "    if e < grant.pe:\n        return None\n",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "prepare-unfenced",
        "a store grants only above its promise and floor",
        (
            Edit(
                "shards/scripts/grants.py",
                "if e <= on.grant.pe or e <= on.grant.pf:",
                "if False:",
            ),
        ),
        schedule="late_prepare",
        quick=True,
    ),
    Mutant(
        "release-ignores-epoch",
        "a late release frees nothing of a later epoch",
        (
            Edit(
                "shards/scripts/grants.py",
                "    if on.grant.pe > e:\n        return on.refused(Code.FENCED)\n"
                "    frees = on.grant.h == sid and on.grant.he == e and not on.is_inherited\n",
                "    frees = on.is_held\n",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "dead-renews",
        "a dead session is not renewed",
        (
            Edit(
                "regions/scripts/commands.py",
                "    if session.dead:\n        return [Code.DEAD]\n    if revision",
                "    if revision",
            ),
        ),
    ),
    Mutant(
        "no-tombstone",
        "a grant on `dead` buries the old session there",
        (
            Edit(
                "shards/scripts/grants.py",
                'if tag == "dead" and not group.sessions[details[0]].dead:',
                "if False:",
            ),
        ),
    ),
    Mutant(
        "longest-log",
        "recovery takes the greatest (epoch, sequence), never the longest log",
        (
            Edit(
                "shards/recovery.py",
                "key=lambda i: (tails[i].epoch, tails[i].sequence,",
                "key=lambda i: (tails[i].sequence, tails[i].epoch,",
            ),
        ),
        schedule="longest_log",
    ),
    Mutant(
        "any-log",
        "recovery takes the greatest log of the grants",
        (
            Edit(
                "shards/recovery.py",
                "store = max(tails,",
                "store = min(tails,",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "ids-forgotten",
        "a retry gets the outcome of its first attempt",
        (
            Edit(
                "shards/admission.py",
                "known = self._ids.get(proposal.op_id) or (found and",
                "known = None and (found and",
            ),
        ),
    ),
    Mutant(
        "lease-not-checked",
        "strong reads are answered only under a lease",
        (
            Edit(
                "controlplane/node/serving.py",
                "        elif not leadership.serves(now_ms):\n            self._refuse(\n",
                "        elif False:\n            self._refuse(\n",
            ),
            Edit(
                "controlplane/node/strong_reads.py",
                "if not is_by_quorum(request) and not leadership.serves(now_ms):\n",
                "if False:\n",
            ),
        ),
        schedule="lapsed_read",
        quick=True,
    ),
    Mutant(
        "vouch-always",
        "a renewal vouches for a shard only if the store has all of it",
        (
            Edit(
                "controlplane/node/outgoing.py",
                "unsync = self._unsync(now_ms) if vouches else []",
                "unsync = []",
            ),
        ),
    ),
    Mutant(
        "freshness-from-first-sight",
        "a renewal may have been in flight: its arrival dates nothing",
        (
            Edit(
                "regions/watch.py",
                "return None if vouched_ms is None else older_bound_ms(vouched_ms, now_ms)",
                "return None if vouched_ms is None else older_bound_ms(now_ms, now_ms)",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "lease-kept-in-handover",
        "the lease is dropped before the first handover is sent",
        (
            Edit(
                "controlplane/node/transfers.py",
                "        leadership.drop_lease()\n        leadership.state = State.HANDED\n",
                "        handing.told_ms = now_ms\n",
            ),
        ),
    ),
    Mutant(
        "revoked-renews",
        "renewals with an old revision are refused",
        (
            Edit(
                "regions/scripts/commands.py",
                "if revision != session.revision:",
                "if False:",
            ),
        ),
        schedule="evict_heard",
        quick=True,
    ),
    Mutant(
        "quorum-of-renewals",
        "a lease lasts as long as the Q-th largest renewal",
        (
            Edit(
                "regions/session.py",
                "return reached_by_quorum(sent, quorum) + self.times.hold_ms",
                "return max(sent) + self.times.hold_ms",
            ),
        ),
    ),
    Mutant(
        "dead-without-its-counter",
        "only the very counter that was watched can be declared dead",
        (
            Edit(
                "shards/scripts/grants.py",
                "            return holder.dead or holder.counter == counter\n",
                "            return True\n",
            ),
        ),
        schedule="moved_counter",
    ),
    Mutant(
        "grant-renews",
        "a grant is not a renewal",
        (
            Edit(
                "shards/leadership.py",
                "            self.held |= 1 << store\n            tail = election.tails[store]\n",
                "            self.held |= 1 << store\n"
                '            self.session.renewed(store, now_ms, ["OK"])\n'
                "            tail = election.tails[store]\n",
            ),
        ),
        schedule="renewed_before",
    ),
    Mutant(
        "late-release-frees",
        "a release comes too late once somebody else leads",
        (
            Edit(
                "shards/scripts/grants.py",
                "    if on.grant.pe > e:\n        return on.refused(Code.FENCED)\n"
                "    frees = on.grant.h == sid and on.grant.he == e and not on.is_inherited\n",
                "    frees = on.is_held\n",
            ),
        ),
        schedule="late_release",
    ),
    Mutant(
        "vouch-without-lease",
        "who wakes up after its lease vouches for nothing",
        (
            Edit(
                "controlplane/node/outgoing.py",
                "        unsync = self._unsync(now_ms) if vouches else []\n"
                "        seen = self.lane.opseq if vouches else 0\n",
                "        unsync: list[str] = []\n        seen = self.lane.opseq\n",
            ),
        ),
        schedule="lapsed_freshness",
    ),
    Mutant(
        "roll-back-unnoticed",
        "a store that went back in time is believed by nobody who knew it later",
        (
            Edit(
                "controlplane/node/lane.py",
                "        if reply.opseq < known:\n",
                "        if reply.opseq < 0:\n",
            ),
        ),
        schedule="rolled_back_store",
    ),
    Mutant(
        "roll-back-untold",
        "nodes remember for each other how far a store had come",
        (
            Edit(
                "controlplane/node/hearsay.py",
                "                        lane.told(opseq, now_ms)\n",
                "                        pass\n",
            ),
        ),
        schedule="rolled_back_remembered",
    ),
    Mutant(
        "commit-uncapped",
        "a commit index sent is capped by what this call covers",
        (
            Edit(
                "shards/scripts/log.py",
                "on.commit(min(committed, last))",
                "on.commit(min(committed, shard.ts))",
            ),
        ),
        schedule="chunked_commit",
    ),
    Mutant(
        "served-before-opening",
        "nothing is committed before the entry that opens the epoch",
        (
            Edit(
                "shards/log.py",
                "if reached >= self.opening > 0 and reached > self.commit:",
                "if reached > self.commit:",
            ),
        ),
        schedule="chunked_recovery",
    ),
    Mutant(
        "staleness-off-by-one-poll",
        "freshness is dated by a poll with a smaller opseq",
        (
            Edit(
                "regions/watch.py",
                "if opseq < seen:",
                "if opseq <= seen:",
            ),
        ),
        schedule="seen_in_flight",
    ),
)

UNSEEN = (
    Mutant(
        "no-generation-guard",
        "calls of an older connection are refused",
        (
            Edit(
                "regions/scripts/model.py",
                "            if generation < greatest:\n"
                "                return Code.OLD_GENERATION\n",
                "",
            ),
        ),
    ),
)
