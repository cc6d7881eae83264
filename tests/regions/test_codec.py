"""Packing of calls and replies: nothing is lost, nothing malformed passes."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regions.codec import (
    FORMAT,
    Code,
    Reply,
    as_bytes,
    as_text,
    pack,
    pack_as_script,
    pack_call,
    pack_reply,
    unpack,
    unpack_reply,
)

REPLY = Reply(Code.OK, "a", "inc", "run", 7, [["OK", 1, "open", False, [b"\xff\x00"]]])


@given(st.binary(max_size=300))
def test_binary_comes_back_as_text_and_is_recovered(data: bytes) -> None:
    text = unpack(pack(data))
    assert isinstance(text, str)
    assert as_bytes(text) == data
    assert as_bytes(as_text(data)) == data


@given(st.text(max_size=300))
def test_text_stays_text(text: str) -> None:
    assert unpack(pack(text)) == text


@given(st.recursive(st.integers(0, 2**53) | st.booleans() | st.text(), st.lists, max_leaves=20))
def test_values_come_back_as_they_were(value: Any) -> None:
    assert unpack(pack(value)) == value
    assert unpack(pack_as_script(value)) == value


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 70_000])
def test_nothing_is_packed_as_bin_because_scripts_cannot_read_it(size: int) -> None:
    first = pack(b"v" * size)[0]
    assert first not in {0xC4, 0xC5, 0xC6}


def test_a_call_is_a_header_and_each_command_by_itself() -> None:
    header = [FORMAT, "inc", "p", 3]
    packed = pack_call(header, [["hello", "", 0], ["admit", "g", 1, "run"]])
    assert [unpack(each) for each in packed] == [
        header,
        ["hello", "", 0],
        ["admit", "g", 1, "run"],
    ]


def test_a_reply_comes_back_with_binary_as_text() -> None:
    found = unpack_reply(pack_reply(REPLY))
    assert found.results[0][4] == ["\udcff\x00"]
    assert as_bytes(found.results[0][4][0]) == b"\xff\x00"
    assert (found.code, found.store_id, found.incarnation) == ("OK", "a", "inc")
    assert (found.run_id, found.opseq) == ("run", 7)


def test_a_code_of_a_later_version_is_kept_as_it_is() -> None:
    later = Reply("TOO_NEW", "a", "inc", "run", 7, [])
    assert unpack_reply(pack_reply(later)).code == "TOO_NEW"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack(7) + pack(7),
        pack(["OK"]),
        pack(["OK", "a", "inc", "run", "7", []]),
        pack(["OK", "a", "inc", "run", 7, [["OK", 1]]]),
        pack(["OK", "a", "inc", "run", 7, [[1, 1, "open", False]]]),
        pack(["OK", "a", "inc", "run", 7, "results"]),
        msgpack.packb({"code": "OK"}),
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not MessagePack|another shape"):
        unpack_reply(data)
