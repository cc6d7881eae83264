"""When Python looks for garbage that counting references does not find: seldom, in a run.

A run makes short-lived objects by the million, and what it keeps (histories, logs) only grows.
Python's own setting, a look after every 700 objects, takes about a tenth of a run's time and finds
next to nothing. When it looks changes nothing that is simulated: nothing has a finaliser.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG_MAX: Final = 50_000
"""How many more objects there are before the collector looks; as garbage, some megabytes."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """For the time of one run; what was there before it is looked through once, and left alone."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
