"""Position tokens: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.position import (
    SEQUENCE_MAX,
    SHARDS_MAX,
    TOKEN_CHARACTERS_MAX,
    PositionInvalid,
    covers,
    decode,
    encode,
    encode_one,
    lineage_of,
    merge,
    sequence_of,
)

names = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20)
positions = st.dictionaries(names, st.integers(0, SEQUENCE_MAX), max_size=20)


@given(positions)
def test_a_token_holds_the_position(position: dict[str, int]) -> None:
    token = encode(position)
    assert decode(token) == position
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_stays_readable_for_later_versions() -> None:
    assert encode({"s-0001": 300, "b": 0}) == encode({"b": 0, "s-0001": 300})
    assert decode("AQACAWIABnMtMDAwMawC_qPjkw") == {"s-0001": 300, "b": 0}
    assert encode_one("b", 7) == encode({"b": 7})


def test_a_token_of_before_a_restore_is_refused() -> None:
    first, second = lineage_of(""), lineage_of("5f1c")
    assert (first, lineage_of("5f1d") != second) == (0, True)
    token = encode({"s1": 300}, second)
    assert encode_one("s1", 300, second) == token
    assert decode(token, second) == {"s1": 300}
    for old, here in ((encode({"s1": 300}), second), (token, first)):
        with pytest.raises(PositionInvalid, match="before it was restored"):
            decode(old, here)


def test_the_empty_token_is_the_beginning() -> None:
    assert decode("") == {}
    assert sequence_of({}, "s1") == 0


@given(positions, positions)
def test_merging_is_the_least_that_covers_both(one: dict[str, int], other: dict[str, int]) -> None:
    both = merge(one, other)
    assert covers(both, one)
    assert covers(both, other)
    assert both == merge(other, one)
    assert all(both[name] in (one.get(name), other.get(name)) for name in both)
    assert merge(both, one) == both


def test_a_position_of_another_shard_does_not_constrain_this_one() -> None:
    seen = decode(encode({"s1": 17}))
    assert sequence_of(seen, "s2") == 0
    assert sequence_of(seen, "s1") == 17
    assert covers({"s1": 17}, seen)
    assert not covers({"s1": 16, "s2": 99}, seen)


@given(positions, st.data())
def test_a_changed_character_is_noticed(position: dict[str, int], data: st.DataObject) -> None:
    token = encode(position)
    at = data.draw(st.integers(0, len(token) - 2))
    other = data.draw(st.sampled_from(sorted(set("AQgw09-_") - {token[at]})))
    with pytest.raises(PositionInvalid):
        decode(token[:at] + other + token[at + 1 :])


@given(positions, st.integers(1, 8))
def test_a_cut_off_token_is_noticed(position: dict[str, int], cut: int) -> None:
    with pytest.raises(PositionInvalid):
        decode(encode(position)[:-cut])


def sealed(body: bytes) -> str:
    """A token with a right checksum, whatever is in it."""
    return urlsafe_b64encode(body + crc32(body).to_bytes(4, "big")).rstrip(b"=").decode()


MANY = sealed(
    b"\x01\x00\x81\x02"
    + b"".join(b"\x02%c%c\x07" % (65 + at // 32, 65 + at % 32) for at in range(SHARDS_MAX + 1))
)
"""A token that is well formed, and holds one shard too many."""
FOREIGN = (
    ("hello world", "characters that no position has"),
    ("äöü", "characters that no position has"),
    ("a", "characters that no position has"),
    ("17", "is not a position"),
    ("AAAAAAAA", "is not a position"),
    ("x" * (TOKEN_CHARACTERS_MAX + 1), "longer than"),
    (sealed(b""), "format"),
    (sealed(b"\x02\x00\x00"), "format"),
    (sealed(b"\x01\x01\x00"), "another fleet"),
    (sealed(b"\x01\x80\x00\x00"), "malformed"),
    (sealed(b"\x01\x00\x01"), "malformed"),
    (sealed(b"\x01\x00\x01\x01a"), "malformed"),
    (sealed(b"\x01\x00\x01\x05a\x07"), "malformed"),
    (sealed(b"\x01\x00\x01\x01\xff\x07"), "malformed"),
    (sealed(b"\x01\x00\x01\x01a\x07rest"), "malformed"),
    (sealed(b"\x01\x00\x02\x01a\x07\x01a\x08"), "malformed"),
    (sealed(b"\x01\x00\x01\x01a" + b"\xff" * 20 + b"\x01"), "beyond any log"),
    (sealed(b"\x01\x00\x01\x01a\x87\x00"), "malformed"),
    (sealed(b"\x01\x00\x02\x01b\x07\x01a\x08"), "malformed"),
    (sealed(b"\x01\x00\x01\xc8" + b"x" * 200 + b"\x07"), "so long a name"),
    (MANY, "at most 256"),
)


@pytest.mark.parametrize(("token", "why"), FOREIGN)
def test_what_is_no_position_is_refused(token: str, why: str) -> None:
    with pytest.raises(PositionInvalid, match=why):
        decode(token)


@given(st.binary(max_size=60), st.integers(0, 59))
def test_garbage_is_refused_and_what_is_read_can_be_written_again(raw: bytes, at: int) -> None:
    changed = bytearray(urlsafe_b64decode(encode({"s-0001": 300, "b": 0}) + "=="))
    changed[at % len(changed)] ^= 1 + at
    head = b"\x01\x00"
    spare_bits = encode({"s1": 5})[:-1] + "-"
    for token in (raw.hex(), sealed(raw), sealed(head + raw), sealed(changed[:-4]), spare_bits):
        try:
            found = decode(token)
        except PositionInvalid:
            continue
        assert not token or encode(found) == token


@given(positions, positions, positions)
def test_the_order_of_merging_does_not_matter(
    one: dict[str, int], other: dict[str, int], third: dict[str, int]
) -> None:
    assert merge(merge(one, other), third) == merge(one, merge(other, third))
    assert merge(one, other) == merge(other, one)
    assert merge(one, one) == one == merge(one, {})


def test_a_position_that_would_lose_something_is_refused() -> None:
    full = {f"s{number:04}": number for number in range(SHARDS_MAX)}
    assert decode(encode(full)) == full
    assert len(encode(full)) <= TOKEN_CHARACTERS_MAX
    with pytest.raises(PositionInvalid, match="at most 256"):
        encode(full | {"another": 1})
    with pytest.raises(PositionInvalid):
        encode({"a": SEQUENCE_MAX + 1})
    with pytest.raises(PositionInvalid):
        encode({"x" * 200: 1})


def test_tokens_are_unpadded_base64() -> None:
    token = encode({"s1": 5})
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert raw[:2] == b"\x01\x00"
