"""Who may be handed a shard: not who has just come, comes and goes, or was silent a moment ago."""

from __future__ import annotations

from controlplane.node.trust import CALM_TIMES, STABLE_MS, STABLE_MS_MAX, SUSPECT_MS, Trust

LOOK_MS = 1_000


class Watched:
    """One node that is looked at every second."""

    def __init__(self) -> None:
        self.trust = Trust()
        self.now_ms = 5_000
        self._life = 1

    def there(self, ms: int) -> None:
        """It is alive for so long."""
        for _ in range(ms // LOOK_MS):
            self.trust.looked({"n": (f"n-{self._life}", True)}, self.now_ms)
            self.now_ms += LOOK_MS

    def silent(self, ms: int) -> None:
        """Its process is there, and does not renew."""
        for _ in range(ms // LOOK_MS):
            self.trust.looked({"n": (f"n-{self._life}", False)}, self.now_ms)
            self.now_ms += LOOK_MS

    def restart(self) -> None:
        """It is gone for a moment, and comes as another process."""
        self.silent(LOOK_MS)
        self._life += 1

    def wait_ms(self) -> int:
        """How long it has to be alive from now on until it may be handed something."""
        began_ms = self.now_ms
        while not self.trust.may_be_handed("n", self.now_ms):
            self.there(LOOK_MS)
            assert self.now_ms - began_ms < 2 * STABLE_MS_MAX
        return self.now_ms - began_ms


def test_a_node_is_trusted_once_it_has_been_alive_for_a_while() -> None:
    node = Watched()
    assert not node.trust.may_be_handed("n", node.now_ms)
    assert node.wait_ms() == STABLE_MS


def test_a_node_that_comes_and_goes_has_to_last_twice_as_long_each_time() -> None:
    node = Watched()
    waits = []
    for _ in range(9):
        waits.append(node.wait_ms())
        node.restart()
    doubled = [min(STABLE_MS << times, STABLE_MS_MAX) for times in range(8)]
    assert waits == [STABLE_MS, *doubled], "to go once is no flapping"


def test_what_a_node_did_is_forgotten_once_it_has_been_calm() -> None:
    node = Watched()
    for _ in range(3):
        node.wait_ms()
        node.restart()
    node.there(CALM_TIMES * (STABLE_MS << 3) + 2 * LOOK_MS)
    node.restart()
    assert node.wait_ms() == STABLE_MS


def test_a_process_that_was_silent_is_suspect_and_another_one_of_that_node_is_not() -> None:
    node = Watched()
    node.there(CALM_TIMES * STABLE_MS + LOOK_MS)
    node.silent(3_000)
    assert node.wait_ms() == SUSPECT_MS
    node.there(CALM_TIMES * STABLE_MS)
    node.restart()
    assert node.wait_ms() == STABLE_MS
    assert not node.trust.is_suspect("n", node.now_ms)


def test_after_a_pause_of_its_own_a_process_begins_to_watch_anew() -> None:
    node = Watched()
    node.there(CALM_TIMES * STABLE_MS)
    node.now_ms += 60_000
    node.trust.was_away(node.now_ms)
    assert not node.trust.is_suspect("n", node.now_ms)
    assert node.wait_ms() == STABLE_MS


def test_one_that_did_not_come_is_shunned_until_it_comes() -> None:
    node = Watched()
    node.wait_ms()
    node.trust.missed("n", node.now_ms)
    assert node.trust.is_shunned("n", node.now_ms)
    node.trust.came("n")
    assert node.trust.may_be_handed("n", node.now_ms)


def test_what_it_misses_at_the_same_time_counts_once() -> None:
    one, many = Watched(), Watched()
    one.trust.missed("n", 0)
    for _ in range(9):
        many.trust.missed("n", 0)
    times_ms = range(0, STABLE_MS_MAX, 1_000)
    end_ms = next(ms for ms in times_ms if not one.trust.is_shunned("n", ms))
    assert end_ms == next(ms for ms in times_ms if not many.trust.is_shunned("n", ms))
    many.trust.missed("n", end_ms)
    assert many.trust.is_shunned("n", 2 * end_ms), "the next time counts twice"
