"""What a person types to run `leadplane` again: bare, where the shell finds it, else made findable.

A virtual environment that was not activated runs the command by its path, and what is printed
under "try" would not be found by the shell that it is pasted into.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

COMMAND = "leadplane"


def to_find_it() -> str:
    """The line to type first, so that the shell finds the command; empty when it does already."""
    beside = Path(sys.executable).with_name(COMMAND)
    if shutil.which(COMMAND) is not None or not beside.exists():
        return ""
    return f"export PATH={shlex.quote(str(beside.parent))}:$PATH"
