"""How flags are written: fields, what holds without them, units, and which flag asks for which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

WHOLE: Final = 100_000
"""A whole split in its units, each a thousandth of a percent; and how many buckets there are."""
UNITS_PER_PERCENT: Final = WHOLE // 100
TARGETING_KEY: Final = "targetingKey"
"""The attribute that is the targeting key."""
BOOLEAN_VARIANTS: Final[Mapping[str, Any]] = {"on": True, "off": False}
"""The variants of a flag that names none."""
OFF: Final = "off"
ASKED_MAX: Final = 64
"""How many evaluations of other flags one evaluation may take, all in all."""

_FLAG_FIELDS: Final = frozenset(
    {
        "default", "description", "enabled", "off", "prerequisites", "rules", "salt", "split",
        "variants",
    }
)  # fmt: skip
_RULE_FIELDS: Final = frozenset({"regions", "serve", "split", "when"})


def flags_in(content: Any) -> Mapping[str, Any]:
    """The flags of a document, none if it does not say them as it should."""
    found = content.get("flags") if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def variants_of(flag: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variants of a flag, by name."""
    variants: Mapping[str, Any] = flag.get("variants", BOOLEAN_VARIANTS)
    return variants


def off_of(flag: Mapping[str, Any]) -> str:
    """The variant that a flag has while it is disabled."""
    return str(flag.get("off", OFF))


def units_of(share: Mapping[str, Any]) -> int:
    """A share in units, to the nearest."""
    percent: float = share["percent"]
    return round(percent * UNITS_PER_PERCENT)


def asked_by(flag: Any) -> Mapping[str, Any]:
    """The prerequisites of a flag: variants by the name of the other flag."""
    found = flag.get("prerequisites") if isinstance(flag, dict) else None
    return found if isinstance(found, dict) else {}


def has_unknown_fields(flag: Mapping[str, Any]) -> bool:
    """Whether a flag says something that this release knows nothing of."""
    rules = flag.get("rules", ())
    return not flag.keys() <= _FLAG_FIELDS or any(not r.keys() <= _RULE_FIELDS for r in rules)


def in_order(flags: Mapping[str, Any]) -> Iterator[str]:
    """Every flag behind those that it asks for. Flags of a circle, and behind one, do not come."""
    open_asked = {
        name: {other for other in asked_by(flag) if other in flags} for name, flag in flags.items()
    }
    asking: dict[str, list[str]] = {}
    for name, others in open_asked.items():
        for other in others:
            asking.setdefault(other, []).append(name)
    ready = [name for name, others in open_asked.items() if not others]
    while ready:
        name = ready.pop()
        yield name
        for behind in asking.get(name, ()):
            open_asked[behind].discard(name)
            if not open_asked[behind]:
                ready.append(behind)
