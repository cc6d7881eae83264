"""Strong reads: at the leader, inside its lease, at a store that has all that is committed.

Theory of operation. The store is asked with the leader's epoch and the commit index at the moment
the request arrived; it answers only for that epoch, and applies up to that index first. The
answer leaves only if the lease still holds when it comes, by a clock read after it came; or, of a
read by quorum, because a majority has confirmed the epoch (controlplane/node/confirming). Another
store is tried when one cannot answer.

While the leader stands again, no store answers for either epoch. It is asked as a follower is then,
and its answer counts if the store has applied all that was committed when the request arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from controlplane.node.answers import found_values, provenance, scanned_items
from controlplane.node.group import Group
from controlplane.requests import (
    Consistency,
    Outcome,
    Problem,
    Read,
    Refused,
    Request,
    Role,
    Scan,
)  # fmt: skip
from regions.codec import Code
from regions.lease_times import older_bound_ms
from regions.quorum import bits
from shards.leadership import Leadership, Reply, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

SCAN_BYTES_MAX = 1024 * 1024

Otherwise: TypeAlias = Callable[[], None]


class StrongReads:
    """Reads of one node at the shards it leads."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def outlived(self, leadership: Leadership, epoch: int, number: int) -> bool:
        """Whether an answer came for a leadership that is no longer the one that asked, or that has
        closed its shard meanwhile.

        The request is asked again then, of whoever leads.
        """
        leads = leadership.epoch == epoch and leadership.state is State.LEADING
        if leads and not leadership.is_closed:
            return False
        opened = self._node.requests.get(number)
        if opened is not None:
            self._node.resubmit(number, opened.request, self._node.now_ms)
        return True

    def _refuse(self, number: int, problem: Problem, detail: str, **more: Any) -> None:
        self._node.requests.answer(number, Refused(problem, detail, **more))

    def read(
        self, group: Group, leadership: Leadership, number: int, request: Request, attempt: int
    ) -> None:
        epoch = leadership.epoch
        asked_ms = self._node.now_ms

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if self.outlived(leadership, epoch, number):
                return
            if result is None or result[0] != Code.OK:
                if attempt < group.stores:
                    self.read(group, leadership, number, request, attempt + 1)
                return
            if not is_by_quorum(request) and not leadership.serves(now_ms):
                self._refuse(number, Problem.NO_QUORUM, "the lease ran out while reading")
                return
            self._answer(number, request, result, leadership.epoch, asked_ms)

        if isinstance(request, Scan):
            log = leadership.log
            assert log is not None, "a leading shard has a log"
            store = self._current_store(group, leadership, attempt)
            if store is not None:
                group.ask(store, _scan(group, request, str(epoch), log.commit), reply)
        elif isinstance(request, Read):
            self.ask_current(group, leadership, list(request.keys), [], attempt, reply)

    def _answer(
        self, number: int, request: Request, result: list[Any], epoch: int, asked_ms: int
    ) -> None:
        """Answer what a store read; all but a strong read says how long ago that was asked."""
        age_ms = 0 if is_strong(request) else older_bound_ms(asked_ms, self._node.now_ms)
        where = provenance(request.shard, epoch, result[6], age_ms, Role.LEADER, "")
        answer: Outcome
        if _is_older_than_asked(request, age_ms):
            answer = Refused(Problem.STALE, f"reading took {age_ms} ms", retry_after_ms=50)
        elif isinstance(request, Scan):
            answer = scanned_items(result[9], result[10], where)
        else:
            answer = found_values(result[10], where)
        self._node.requests.answer(number, answer)

    def read_on(
        self,
        group: Group,
        leadership: Leadership,
        number: int,
        request: Read | Scan,
        otherwise: Otherwise,
    ) -> None:
        """Answer while the leader stands again; `otherwise` takes it if no store can tell."""
        log, former = leadership.log, leadership.former
        assert log is not None, "what led has a log"
        assert former is not None, "what led had an epoch"
        epoch, asked, commit = former.epoch, leadership.epoch, log.commit
        asked_ms = self._node.now_ms
        stores = [i for i in bits(former.held) if group.lanes[i].is_up]
        stores.sort(key=lambda i: (log.followers[i].committed < commit, i))

        def ask() -> None:
            if not stores:
                otherwise()
            elif isinstance(request, Scan):
                group.ask(stores.pop(0), _scan(group, request, "", 0), reply)
            else:
                command = ["read", group.group, group.version, leadership.shard, "", 0]
                group.ask(stores.pop(0), [*command, list(request.keys), []], reply)

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if leadership.epoch != asked or leadership.reading_epoch(now_ms) is None:
                otherwise()
            elif result is None or result[0] != Code.OK or result[6] < commit:
                ask()
            else:
                self._answer(number, request, result, epoch, asked_ms)

        ask()

    def ask_current(
        self, group: Group, leadership: Leadership, keys: list[str], ids: list[str], attempt: int,
        reply: Reply,
    ) -> bool:  # fmt: skip
        """Read at a store that has all that is committed; False, and no reply, without one."""
        store = self._current_store(group, leadership, attempt)
        log = leadership.log
        if store is None or log is None:
            return False
        command = [
            "read", group.group, group.version, leadership.shard, str(leadership.epoch),
            log.commit, keys, ids,
        ]  # fmt: skip
        group.ask(store, command, reply)
        return True

    def scan_current(
        self, group: Group, leadership: Leadership, scan: Scan, bytes_max: int, reply: Reply
    ) -> bool:
        """The same of a scan."""
        store = self._current_store(group, leadership, 0)
        log = leadership.log
        if store is None or log is None:
            return False
        command = _scan(group, scan, str(leadership.epoch), log.commit, bytes_max)
        group.ask(store, command, reply)
        return True

    def _current_store(self, group: Group, leadership: Leadership, attempt: int) -> int | None:
        log = leadership.log
        if log is None:
            return None
        able = [
            i for i in bits(leadership.held)
            if group.lanes[i].is_up and log.followers[i].covered >= log.commit
        ]  # fmt: skip
        if not able:
            return None
        able.sort(key=lambda i: (group.lanes[i].round_trip_ms, i))
        return able[attempt % len(able)]


def _scan(
    group: Group, scan: Scan, epoch: str, commit: int, bytes_max: int = SCAN_BYTES_MAX
) -> list[Any]:
    return [
        "scan", group.group, group.version, scan.shard, epoch, commit,
        scan.partition, scan.prefix, scan.after, scan.limit, bytes_max,
    ]  # fmt: skip


def _is_older_than_asked(request: Request, age_ms: int) -> bool:
    if not isinstance(request, Read | Scan) or request.consistency is not Consistency.BOUNDED:
        return False
    return request.max_staleness_ms is not None and age_ms > request.max_staleness_ms


def is_by_quorum(request: Request) -> bool:
    """Whether a majority is asked instead of the lease."""
    return isinstance(request, Read | Scan) and is_strong(request) and request.quorum


def is_strong(request: Request) -> bool:
    """Whether only the leader may answer."""
    return not isinstance(request, Read | Scan) or request.consistency is Consistency.STRONG
