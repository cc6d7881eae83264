"""Orders are kept as they are, and count each of their moves once."""

from __future__ import annotations

import pytest

from controlplane.planning.orders import (
    PAGE_MOVES,
    SKIPPED_SHOWN_MAX,
    Order,
    OrderState,
    Pause,
    ShardMove,
    pages_of,
    read_order,
    read_page,
    read_pause,
)
from controlplane.planning.reasons import Hindrance
from regions.codec import pack, unpack

ORDER = Order(3, "abc", "ada", "cheaper", 17, OrderState.CARRYING, 3)


def test_an_order_is_done_with_its_last_move() -> None:
    first = ORDER.after("s0", None)
    second = first.after("s1", Hindrance.CHANGED)
    third = second.after("s2", None)
    states = [each.state for each in (first, second, third)]
    assert states == [OrderState.CARRYING, OrderState.CARRYING, OrderState.DONE]
    assert (third.next, third.moved, third.skipped) == (3, 2, (("s1", Hindrance.CHANGED),))


def test_an_order_names_so_many_of_those_it_skipped_and_no_more() -> None:
    order = Order(1, "abc", "ada", "", 17, OrderState.CARRYING, 1_000)
    for number in range(SKIPPED_SHOWN_MAX + 5):
        order = order.after(f"s{number}", Hindrance.GONE)
    assert len(order.skipped) == SKIPPED_SHOWN_MAX
    assert (order.next, order.moved) == (SKIPPED_SHOWN_MAX + 5, 0)


def test_what_is_written_is_read() -> None:
    order = ORDER.after("s1", Hindrance.NO_CANDIDATE)
    assert read_order(order.packed()) == order
    pause = Pause(99, "ada", "maintenance")
    assert read_pause(pause.packed()) == pause


def test_moves_lie_in_pages_in_their_order() -> None:
    moves = [ShardMove(f"s{n}", "eu", "us", n) for n in range(PAGE_MOVES + 1)]
    pages = pages_of(moves)
    assert [len(read_page(page)) for page in pages] == [PAGE_MOVES, 1]
    assert [move for page in pages for move in read_page(page)] == moves


def test_a_move_that_names_no_node_is_kept_as_it_always_was() -> None:
    moves = [ShardMove("s0", "eu", "us", 7), ShardMove("s1", "eu", "eu", 8, "eu-n2"),
             ShardMove("s2", "eu", "us", 9, "", "region/us")]  # fmt: skip
    (page,) = pages_of(moves)
    assert unpack(page) == [["s0", "eu", "us", 7], ["s1", "eu", "eu", 8, "eu-n2"],
                            ["s2", "eu", "us", 9, "", "region/us"]]  # fmt: skip
    assert list(read_page(page)) == moves


@pytest.mark.parametrize("read", [read_order, read_pause, read_page])
def test_what_is_nothing_of_the_kind_is_refused(read: object) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match="this is no"):
        read(pack({"a": 1}))
