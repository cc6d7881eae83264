"""There is a key for every slot."""

from hypothesis import given
from hypothesis import strategies as st

from shards.key_in_slot import key_in_slot
from shards.keyspace import SLOTS, key_complaint, slot_of


@given(st.integers(0, SLOTS - 1))
def test_a_key_has_the_slot_it_was_made_for(slot: int) -> None:
    key = key_in_slot(slot)
    assert slot_of(key) == slot
    assert key_complaint(key, 255) is None
    assert key_in_slot(slot) == key


def test_the_first_and_the_last_slot_have_keys_of_their_own() -> None:
    keys = [key_in_slot(slot) for slot in (0, 1, SLOTS // 2, SLOTS - 1)]
    assert [slot_of(key) for key in keys] == [0, 1, SLOTS // 2, SLOTS - 1]
    assert len(set(keys)) == 4
