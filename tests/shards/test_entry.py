"""Entries: packed once, chained, and read back as they are."""

import pytest

from regions.codec import as_text, pack, unpack
from shards.entry import Entry, read_entry, write_entry
from shards.scripts.entries import parse_entry

PUT = ["p", "part", "key", b"\xff\x00", 3]


def test_an_entry_follows_the_one_before_it() -> None:
    first = write_entry(0, 0, 5, [PUT], "op", "digest", ["written", 1])
    second = write_entry(first.sequence, first.chain, 6, [])
    assert (first.sequence, first.epoch, second.sequence, second.epoch) == (1, 5, 2, 6)


def test_a_blob_is_the_six_fields_of_the_format() -> None:
    entry = write_entry(0, 0, 5, [PUT], "op", "digest", ["written", 1])
    fields = unpack(entry.blob)
    assert [*fields[:5]] == ["5", "op", "digest", entry.chain, ["written", 1]]
    assert pack(fields[5]) == pack([PUT])


@pytest.mark.parametrize("through", ["bytes", "text"])
def test_a_store_returns_what_was_written(through: str) -> None:
    entry = write_entry(7, 99, 5, [PUT], "op", "digest", ["written", 8])
    blob = as_text(entry.blob) if through == "text" else entry.blob
    assert read_entry(8, blob) == entry
    assert parse_entry(blob).chain == entry.chain


def test_the_chain_depends_on_everything_before_and_in_the_entry() -> None:
    base = write_entry(3, 99, 5, [PUT], "op", "digest", ["written", 4])
    others = [
        write_entry(3, 98, 5, [PUT], "op", "digest", ["written", 4]),
        write_entry(3, 99, 6, [PUT], "op", "digest", ["written", 4]),
        write_entry(3, 99, 5, [], "op", "digest", ["written", 4]),
        write_entry(3, 99, 5, [PUT], "po", "digest", ["written", 4]),
        write_entry(3, 99, 5, [PUT], "op", "tsegid", ["written", 4]),
        write_entry(3, 99, 5, [PUT], "op", "digest", ["written", 5]),
    ]
    assert len({base.chain, *(other.chain for other in others)}) == 7


def test_a_chain_of_zero_takes_the_same_room_as_any_other() -> None:
    blob = write_entry(0, 0, 1, []).blob
    assert Entry(1, 1, 0, blob).blob[0] == 0x96
    assert len(blob) == len(write_entry(0, 123, 1, []).blob)


@pytest.mark.parametrize("blob", [b"", b"\x93\x01\x02\x03", b"\x01", b"\xc1", "no entry"])
def test_what_is_no_entry_is_refused(blob: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"MessagePack|six fields"):
        read_entry(1, blob)
