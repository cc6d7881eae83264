"""The twin of the commands that decide what the next version of a group is, and end the present.

A register promises only greater ballots and accepts nothing below its promise. A seal is never
taken back; what it leads to gives way to a greater version alone, which somebody has forced. That
a description was decided is known to the caller alone.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code, as_bytes
from regions.scripts.arguments import BadArgument, binary, epoch, positive, text
from regions.scripts.model import Call, Command
from regions.scripts.state import Group, Register


def description(value: Any) -> bytes | str:
    """A description of a version, which nobody here looks into; it is never empty."""
    if value:
        return binary(value)
    raise BadArgument(value)


def attempt(value: Any) -> str:
    """An attempt is named after its coordinator's ballot: the number, a slash, the process."""
    ballot_of(text(value))
    return text(value)


def ballot_of(named: str) -> tuple[int, bytes]:
    """The ballot of an attempt; the greater one is the later."""
    digits, _, process = named.partition("/")
    if not process:
        raise BadArgument(named)
    return epoch(digits), as_bytes(process)


def _register(group: Group) -> Register:
    """That of this version; one of an earlier version is empty."""
    return group.register if group.register.version == group.version else Register()


def _ballot(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    n, process = arguments
    found = _register(group)
    if (n, as_bytes(process)) <= (found.n, as_bytes(found.p)):
        return [Code.STALE, found.n, found.p]
    call.write()
    accepted = (found.an, found.ap, found.ad)
    group.register = Register(group.version, n, process, *accepted)
    return [Code.OK, found.an, found.ap, found.ad if found.an else False]


def _accept(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    n, process, decided = arguments
    found = _register(group)
    if (found.n, as_bytes(found.p)) > (n, as_bytes(process)):
        return [Code.STALE, found.n, found.p]
    if (found.an, found.ap) == (n, process):
        return [_same(found.ad, decided)]  # one ballot, one description
    call.write()
    group.register = Register(group.version, n, process, n, process, decided)
    return [Code.OK]


def _seal(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    told, to = arguments
    if to <= group.version:
        raise BadArgument(to)
    if group.state == "sealed" and to < group.next_version:
        return [Code.STALE, group.next_version]
    if group.state == "sealed" and to == group.next_version:
        return [_same(group.next, told)]
    call.write()
    group.state, group.next, group.to = "sealed", told, to
    return [Code.OK]


def _same(known: bytes | str | bool, told: bytes | str) -> Code:
    return Code.OK if is_same(known, told) else Code.CONFLICT


def is_same(known: bytes | str | bool, told: bytes | str) -> bool:
    """Whether a description is the one that is known, if any is."""
    return not isinstance(known, bool) and as_bytes(known) == as_bytes(told)


MEMBERSHIP_COMMANDS: Final = MappingProxyType(
    {
        "ballot": Command(_ballot, (positive, text)),
        "accept": Command(_accept, (positive, text, description)),
        "seal": Command(_seal, (description, positive), works_sealed=True),
    }
)
