"""Bringing one store along: entries in chunks, or a snapshot in pages; one thing at a time."""

from typing import Any

import pytest

from shards import catch_up, pages
from shards.catch_up import CatchUp, Phase
from shards.entry import Entry, write_entry

POSITION = ("3", 40, 4040)
GRANT = ["9", "0", "9", "p/1", "held", "", 0]


def copy(matched: int = 2, goal: int = 6) -> CatchUp:
    return CatchUp("a", "g", 1, 0, 2, matched, goal, 9, "p/1", 7)


def entries(first: int, last: int) -> list[list[Any]]:
    return [[seq, write_entry(seq - 1, 0, 1, []).blob] for seq in range(first, last + 1)]


def ranged(first: int, last: int, committed: int = 99, base: int = 0) -> list[Any]:
    """What a source answers to `range`."""
    records = entries(first, last)
    return [GRANT, "9", 99, 0, committed, "1" if base else "0", base, base * 10, records]


def copy_nothing(found: CatchUp) -> None:
    """A snapshot of an empty shard: its pages are staged all the same."""
    for _ in pages.PARTS:
        found.page_read([45, [], 0])
        found.staged()


def asked(found: CatchUp) -> list[str]:
    """What the copy wants now, in words."""
    wants = {
        "source": found.at_source(),
        "target": found.at_target(),
        "chunk": found.chunk(),
        "adoption": found.adoption(),
    }
    return [name for name, want in wants.items() if want is not None]


def test_entries_are_read_and_appended_in_chunks_until_the_goal() -> None:
    found = copy()
    assert found.at_source() == ["range", "g", 1, "a", 3, catch_up.CHUNK_BYTES]
    found.range_read(ranged(3, 4), None)
    before, chunk = found.chunk() or (0, [])
    assert (before, [entry.sequence for entry in chunk]) == (2, [3, 4])
    assert found.appended().sequence == 4
    assert (found.phase, found.matched) == (Phase.READING, 4)
    found.range_read(ranged(5, 7), None)
    found.appended()
    assert (found.phase, found.matched) == (Phase.DONE, 7)
    assert asked(found) == []


def test_one_thing_is_asked_at_a_time() -> None:
    found = copy()
    steps = [asked(found)]
    found.range_read(ranged(30, 31, base=20), POSITION)
    steps.append(asked(found))
    found.page_read([45, [["x\0k", b"r"]], 1])
    steps.append(asked(found))
    found.staged()
    for _ in pages.PARTS:
        steps.append(asked(found))
        found.page_read([45, [], 0])
        steps.append(asked(found))
        found.staged()
    steps.append(asked(found))
    page = [["source"], ["target"]]
    assert steps == [["source"], *page, *page, *page, *page, ["adoption"]]


def test_only_committed_entries_are_copied() -> None:
    found = copy()
    found.range_read(ranged(3, 9, committed=5), None)
    before, chunk = found.chunk() or (0, [])
    assert [entry.sequence for entry in chunk] == [3, 4, 5]
    assert before == 2


def test_a_source_without_anything_committed_to_give_fails_the_attempt() -> None:
    found = copy()
    found.range_read(ranged(3, 9, committed=2), None)
    assert found.phase is Phase.FAILED
    assert found.cleanup() == ["unstage", "g", 1, "a", "9", "p/1", 7]


@pytest.mark.parametrize(
    ("matched", "goal", "base", "position", "begins_at"),
    [
        (2, 6, 20, POSITION, POSITION),  # trimmed away
        (2, 6, 20, None, ("1", 20, 200)),  # ... and the leader can name no entry: the base
        (2, 6, 2, POSITION, None),  # just not trimmed away
        (0, 60_000, 0, POSITION, POSITION),  # too many
        (0, 60_000, 0, None, None),  # too many, and nothing to begin at: entry by entry
    ],
)
def test_where_a_snapshot_begins(
    matched: int,
    goal: int,
    base: int,
    position: tuple[str, int, int] | None,
    begins_at: tuple[str, int, int] | None,
) -> None:
    found = copy(matched, goal)
    found.range_read(ranged(max(matched, base) + 1, max(matched, base) + 2, base=base), position)
    if begins_at is None:
        assert found.phase is Phase.APPENDING
        return
    copy_nothing(found)
    assert found.adoption() == ["adopt", "g", 1, "a", "9", "p/1", 7, *begins_at, 45]


def test_pages_follow_each_other_part_by_part() -> None:
    found = copy()
    found.range_read(ranged(30, 31, base=20), POSITION)
    seen = []
    script = [
        [44, [["x\0a", b"1"], ["x\0b", b"2"]], 1],
        [45, [["x\0c", b"3"]], 0],
        [46, [["7 op", b"4"]], 0],
        [43, [["3", b"5"]], 0],
    ]
    for page in script:
        seen.append(found.at_source())
        found.page_read(page)
        target = found.at_target()
        assert target is not None
        assert target[4:] == ["9", "p/1", 7, seen[-1][4] if seen[-1] else "", page[1]]
        found.staged()
    assert [ask[4:6] for ask in seen if ask] == [["kv", ""], ["kv", "x\0b"], ["id", ""], ["hi", ""]]
    adoption = found.adoption()
    assert adoption is not None
    assert adoption[-1] == 46  # reads wait until the latest page's position is applied


def test_a_source_that_has_not_applied_the_start_cannot_be_copied() -> None:
    found = copy()
    found.range_read(ranged(30, 31, base=20), POSITION)
    found.page_read([39, [], 0])
    assert found.phase is Phase.FAILED


@pytest.mark.parametrize(("goal", "phase"), [(40, Phase.DONE), (41, Phase.READING)])
def test_after_the_adoption_entries_go_on_from_its_position(goal: int, phase: Phase) -> None:
    found = copy(goal=goal)
    found.range_read(ranged(30, 31, base=20), POSITION)
    copy_nothing(found)
    found.adopted()
    assert (found.phase, found.matched) == (phase, 40)
    if phase is Phase.READING:
        assert found.at_source() == ["range", "g", 1, "a", 41, catch_up.CHUNK_BYTES]


def test_what_was_written_during_a_snapshot_is_read_however_much_it_is() -> None:
    """Another snapshot would take as long, and would never be the last one."""
    found = copy(goal=60_000)
    found.range_read(ranged(30, 31, base=20), POSITION)
    copy_nothing(found)
    found.adopted()
    found.range_read(ranged(41, 42, base=20), ("3", 59_000, 7))
    assert found.phase is Phase.APPENDING


@pytest.mark.parametrize("phase", list(Phase))
def test_a_lost_answer_ends_the_attempt_in_every_phase(phase: Phase) -> None:
    found = copy()
    found.phase = phase
    found.failed()
    assert found.phase is Phase.FAILED
    assert asked(found) == []


def test_a_chunk_is_entries_as_they_are() -> None:
    found = copy()
    found.range_read(ranged(3, 3), None)
    _, chunk = found.chunk() or (0, [])
    assert chunk == [Entry(3, 1, chunk[0].chain, write_entry(2, 0, 1, []).blob)]
