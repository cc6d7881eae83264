"""A key for any slot, found without trying: whoever wants to ask a certain shard needs one.

Theory of operation. CRC-32 is affine: where keys of one length differ, each differing bit turns the
same bits of the checksum, whatever the others are. A key is a fixed beginning with a tail of zeros
and ones. What each one turns is kept in a form from which the ones for any slot are read off, bit
by bit from the highest (Gaussian elimination over two elements).
"""

from __future__ import annotations

from typing import Final

from shards.keyspace import SLOT_BITS, slot_of

_BEGINNING: Final = "leadplane-"
_TAIL: Final = 48  # twice as many digits as a slot has bits: more than enough to turn each alone


def key_in_slot(slot: int) -> str:
    """A key whose slot is this one, always the same."""
    digits, wanted = 0, slot ^ _ZERO_SLOT
    for bit in reversed(range(SLOT_BITS)):
        if wanted >> bit & 1:
            turned, ones = _TURNS[bit]
            wanted ^= turned
            digits ^= ones
    return f"{_BEGINNING}{digits:0{_TAIL}b}"


def is_for_slot(key: str) -> bool:
    """Whether a key is one that `key_in_slot` gives; nodes ask each other for such keys."""
    return len(key) == len(_BEGINNING) + _TAIL and key.startswith(_BEGINNING)


def _turns() -> dict[int, tuple[int, int]]:
    """By highest bit: which bits of the slot are turned, and by which digits of the tail."""
    found: dict[int, tuple[int, int]] = {}
    for place in range(_TAIL):
        ones = 1 << place
        turned = slot_of(f"{_BEGINNING}{ones:0{_TAIL}b}") ^ _ZERO_SLOT
        while turned and (bit := turned.bit_length() - 1) in found:
            turned ^= found[bit][0]
            ones ^= found[bit][1]
        if turned:
            found[turned.bit_length() - 1] = (turned, ones)
    assert len(found) == SLOT_BITS, "some bit of a slot cannot be turned"
    return found


_ZERO_SLOT: Final = slot_of(_BEGINNING + "0" * _TAIL)
_TURNS: Final = _turns()
