"""Groups that have lost too many stores to go on by themselves, and what an operator may do then.

Theory of operation. A store that forgot never answers for what it was. When fewer than a majority
of a version's incarnations can be left, nothing can be decided in that version any more, and no
wait helps: that is reported, once. What may be done is an operator's act (regions/forcing), which
begins here, with an account of what is left and what is lost with the rest.

A store that does not answer may have its data still, and be led by somebody elsewhere. So whoever
knows a forced version goes on trying to seal what it left behind, should it ever answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from controlplane.node.now_and_then import NowAndThen
from controlplane.node_plan import description_of
from controlplane.requests import ForceRecover, Problem, Refused, StoresForced
from regions.codec import ANOTHER_STORE, Code, Reply
from regions.membership import Forced, Member, members, write_description

if TYPE_CHECKING:
    from controlplane.node.group import Group
    from controlplane.node.node import Node

SEAL_EVERY_MS = 1_000


class Losses:
    """What one node knows of losses, tells of them, and does about them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lost: dict[tuple[str, int], tuple[str, ...]] = {}
        self._behind: dict[tuple[str, int], set[Member]] = {}  # left behind, and not sealed yet
        self._seals = NowAndThen(SEAL_EVERY_MS)

    def attend(self, group: Group, forgot: list[str], now_ms: int) -> None:
        """Look after one group, of whose stores these are not who they were."""
        self._notice(group, forgot)
        if group.plan.forced is not None and group.plan.stands:
            self._seal_behind(group, group.plan.forced, now_ms)

    def of(self, group: Group) -> tuple[str, ...]:
        """The voters that forgot, if they are too many for the group to go on; else none."""
        return self._lost.get((group.group, group.version), ())

    def _notice(self, group: Group, forgot: list[str]) -> None:
        version = group.group, group.version
        gone = tuple(s.store for s in group.plan.voters if s.store in forgot)
        if group.voters - len(gone) >= group.quorum:
            self._lost.pop(version, None)
            return
        if version not in self._lost:
            detail = {"group": group.group, "version": group.version, "forgot": ",".join(gone)}
            self._node.happened("group-lost", "", 0, detail)
        self._lost[version] = gone

    # -- what was left behind

    def _seal_behind(self, group: Group, forced: Forced, now_ms: int) -> None:
        version = group.group, group.version
        known = [m for m in members(forced.gone) if m.store in self._node.sites.places]
        behind = self._behind.setdefault(version, set(known))
        if not behind or not self._seals.allows(group.group, now_ms):
            return
        text = write_description(description_of(group.plan))
        command = ["seal", group.group, forced.of, text, group.version]
        for member in sorted(behind):
            self._node.bulk.visit(
                member.store, member.incarnation, [command], self._sealed(behind, member)
            )

    def _sealed(self, behind: set[Member], member: Member) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            if reply is not None and (reply.code == Code.OK or reply.code in ANOTHER_STORE):
                behind.discard(member)

        return take

    # -- what may be done

    def account(self, order: ForceRecover, group: Group, *, begin: bool) -> StoresForced | Refused:
        """What would become of a group, and what would be lost; or why nothing is to be forced."""
        node = self._node
        forgot = {store for store, _ in node.changes.gone(group)}
        up = {lane.store for lane in group.lanes if lane.is_up} - forgot
        voters = [store.store for store in group.plan.voters]
        followers = [store.store for store in group.plan.followers]
        stores = [*voters, *followers]
        left = [store for store in stores if store in up]
        emptied = [store for store in stores if store in forgot]
        silent = [store for store in stores if store not in left and store not in emptied]
        dumps = sum(store in left for store in voters)
        if dumps >= group.quorum:
            answering = ", ".join(store for store in voters if store in left)
            detail = f"{group.group} is not lost: {answering} answer, {group.quorum} are needed"
            return Refused(Problem.NOT_CHANGED, detail)
        if not any(store in left or store in emptied for store in voters):
            detail = f"no store that votes in {group.group} answers: nobody would vote"
            return Refused(Problem.NOT_CHANGED, detail)
        found = StoresForced(
            group.group, group.version,
            tuple(store for store in voters if store not in silent),
            tuple(store for store in followers if store not in silent),
            begin, tuple(left), tuple(emptied), tuple(silent), dumps, group.quorum,
            _what_is_lost(group, left, emptied, silent),
        )  # fmt: skip
        if begin and not order.accept_loss:
            detail = f"only with accept_loss. {found.lost}"
            return Refused(Problem.NOT_CHANGED, detail)
        return found


def _what_is_lost(group: Group, left: list[str], emptied: list[str], silent: list[str]) -> str:
    """In sentences, for people."""
    dumps = [store.store for store in group.plan.voters if store.store in left]
    told = f"Nothing is left: {group.group} begins empty, and all that it held is lost."
    if left:
        told = (
            f"{len(dumps)} of the {group.quorum} dumps that would tell all. Kept is what is left "
            f"at {', '.join(left)}; lost is what others alone acknowledged."
        )
    if emptied:
        told += f" Admitted anew, without data: {', '.join(emptied)}."
    if silent:
        told += (
            f" Left out, since nothing answers there: {', '.join(silent)}; whatever is there is "
            "lost too. See that no node uses it any more, and empty it before it is added again."
        )
    return told
