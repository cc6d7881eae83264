"""When Python looks for garbage that counting references does not find: seldom, in a node.

A request under way is some forty objects that the collector looks through, and none of them is
garbage. With a few hundred requests under way at once, Python's own setting, a look after every 700
objects, took a quarter of a busy node's time and found nothing.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_MAX: Final = 20_000
"""How many more objects there are before the collector looks: what 500 requests under way come to.

A look at so many takes about a millisecond; as garbage they would be a few megabytes.
"""
OLDER_AFTER: Final = 10
"""Every so many looks at the young ones it also looks at those that were there before."""


def collect_seldom() -> None:
    """Leave alone what is loaded by now, and look for new garbage only now and then."""
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, OLDER_AFTER, OLDER_AFTER)
