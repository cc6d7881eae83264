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


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF), max_size=50))
def test_text_with_escaped_bytes_is_packed_as_those_bytes_or_not_at_all(text: str) -> None:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="surrogates not allowed"):
            pack(text)
        return
    assert as_bytes(unpack(pack(text))) == data
    assert pack(text) == pack(data)


words = st.recursive(
    st.integers(-(2**53), 2**53) | st.booleans() | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=15,
)


@given(st.lists(words, max_size=5), st.lists(st.lists(words, max_size=5), max_size=4))
def test_every_call_comes_back_word_by_word(header: list[Any], commands: list[list[Any]]) -> None:
    packed = pack_call(header, commands)
    assert [unpack(each) for each in packed] == [_as_answered(each) for each in [header, *commands]]


def _as_answered(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_answered(each) for each in value]
    return as_text(value) if isinstance(value, bytes) else value


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


@given(st.binary(max_size=80))
def test_garbage_is_refused_by_one_kind_of_error(data: bytes) -> None:
    _refused_or_read(data)


@given(st.integers(0, 10_000), st.binary(min_size=0, max_size=6), st.integers(0, 6))
def test_a_damaged_reply_is_refused_by_one_kind_of_error(at: int, new: bytes, lost: int) -> None:
    whole = pack_reply(REPLY)
    at %= len(whole)
    _refused_or_read(whole[:at] + new + whole[at + lost :])


@pytest.mark.parametrize("data", [b"\x81\x90\x01", b"\x81\x80\x01", b"\x91" * 5_000 + b"\xc0"])
def test_values_that_python_cannot_hold_are_refused_by_the_same_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not MessagePack"):
        unpack(data)


def _refused_or_read(data: bytes) -> None:
    try:
        found = unpack_reply(data)
    except ValueError:
        return
    assert unpack_reply(pack_reply(found)) == found
