"""Feature flags, evaluated: a document made into functions once, and asked for values after that.

Theory of operation. Each flag becomes one function of a targeting key and attributes. All that it
can answer is made beforehand, so that an evaluation only finds out which of these answers it is:

    disabled                            the variant `off`, DISABLED
    a prerequisite has another variant  the variant `off`, DISABLED
    the first rule that fits            its variant, TARGETING_MATCH, or one by its split, SPLIT
    none does                           `default`, or one by the flag's split

A **split** hashes salt and targeting key to one of 100,000 buckets, and the shares lie in them side
by side, in the order they are written. So the same key gets the same variant for as long as salt
and split are the same, and moving the border between two shares moves only the keys in between. The
bucket does not depend on rule or variant.

Documents were checked when they were edited (config/flag_checks). A flag that this release cannot
read all the same, since a newer one wrote it, is an error by itself: the others are not touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import accumulate
from struct import Struct
from typing import Any, Final, TypeAlias

from config.flag_conditions import Test, compile_when
from config.flag_shape import (
    TARGETING_KEY,
    WHOLE,
    asked_by,
    flags_in,
    has_unknown_fields,
    in_order,
    off_of,
    units_of,
    variants_of,
)

_FIRST_BYTES: Final = Struct(">Q").unpack_from
"""Of a digest, the first eight bytes as a number."""


class Reason(StrEnum):
    """Why a flag has its value, in OpenFeature's words."""

    STATIC = "STATIC"
    DEFAULT = "DEFAULT"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"
    ERROR = "ERROR"


class ErrorCode(StrEnum):
    """Why a flag has no value, in OpenFeature's words."""

    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    PARSE_ERROR = "PARSE_ERROR"
    GENERAL = "GENERAL"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a flag comes to. It is shared by all who are answered so: `value` is not to be changed.

    With an `error` there is neither value nor variant, and `message` says what is wrong.
    """

    value: Any
    variant: str | None
    reason: Reason
    error: ErrorCode | None = None
    message: str = ""
    metadata: Mapping[str, str | int] = field(default_factory=dict)


Decide: TypeAlias = Callable[[str | None, Mapping[str, Any]], Evaluation]
"""One flag: targeting key and attributes to what it comes to."""
Serve: TypeAlias = Callable[[str | None], Evaluation]
"""What a rule serves, by targeting key."""
Rule: TypeAlias = tuple[tuple[tuple[str, Test], ...], Serve]
Prerequisite: TypeAlias = tuple[str, Decide, frozenset[str], Evaluation]


@dataclass(frozen=True, slots=True)
class CompiledDocument:
    """The flags of one document, for one region; `definitions` are as they were written."""

    name: str
    flags: Mapping[str, Decide]
    definitions: Mapping[str, Any]


class FlagSet:
    """The flags of all documents. A name that two of them have is that of the first by name."""

    def __init__(self, documents: Iterable[CompiledDocument] = ()) -> None:
        self._flags: dict[str, Decide] = {}
        self._definitions: dict[str, Any] = {}
        for document in sorted(documents, key=lambda each: each.name, reverse=True):
            self._flags |= document.flags
            self._definitions |= document.definitions

    def evaluate(
        self, flag: str, targeting_key: str | None, attributes: Mapping[str, Any]
    ) -> Evaluation:
        """What a flag comes to for this key and these attributes."""
        decide = self._flags.get(flag)
        if decide is None:
            return failed(ErrorCode.FLAG_NOT_FOUND, f"no flag is called {flag}")
        return decide(targeting_key, attributes)

    def names(self) -> list[str]:
        """Every flag, by name."""
        return sorted(self._flags)

    def differing(self, other: FlagSet) -> list[str]:
        """Flags that are not the same in both, and those that ask for one of them."""
        mine, theirs = self._definitions, other._definitions
        found = {name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)}
        for name in in_order(theirs):
            if not found.isdisjoint(asked_by(theirs[name])):
                found.add(name)
        return sorted(found)


def failed(
    error: ErrorCode, message: str, metadata: Mapping[str, str | int] | None = None
) -> Evaluation:
    """An evaluation that comes to nothing, and why."""
    return Evaluation(None, None, Reason.ERROR, error, message, metadata or {})


def compile_document(name: str, version: int, content: Any, region: str) -> CompiledDocument:
    """A document as it is evaluated in a region. Never raises: what cannot be read says so."""
    definitions = flags_in(content)
    told: dict[str, str | int] = {"document": name, "version": version}
    made: dict[str, Decide] = {}
    for flag in in_order(definitions):
        try:
            made[flag] = _Flag(flag, definitions[flag], told, region, made).decide()
        except (AttributeError, KeyError, TypeError, ValueError) as complaint:
            made[flag] = _unreadable(f"this release cannot read it: {complaint!r}", told)
    for flag in definitions.keys() - made.keys():
        made[flag] = _unreadable("its prerequisites lead back to it", told)
    return CompiledDocument(name, made, definitions)


def bucket_of(prefix: bytes, targeting_key: str) -> int:
    """The bucket of a key, from 0 to WHOLE - 1; `prefix` is the salt and a zero byte."""
    data = prefix + targeting_key.encode("utf-8", "surrogatepass")
    first: int = _FIRST_BYTES(sha256(data).digest())[0]
    return first % WHOLE


class _Flag:
    """One flag on its way to a function."""

    def __init__(
        self,
        name: str,
        definition: Mapping[str, Any],
        told: Mapping[str, str | int],
        region: str,
        made: Mapping[str, Decide],
    ) -> None:
        if has_unknown_fields(definition):
            raise ValueError("it has fields that are not known here")
        self._name = name
        self._flag = definition
        self._told = told
        self._region = region
        self._made = made
        self._variants = variants_of(definition)

    def decide(self) -> Decide:
        """The flag as a function."""
        flag = self._flag
        if not flag.get("enabled", True):
            return _always(self._outcome(off_of(flag), Reason.DISABLED))
        prerequisites = tuple(self._prerequisites())
        rules = tuple(self._rules())
        if not prerequisites and not flag.get("rules") and "split" not in flag:
            return _always(self._outcome(flag["default"], Reason.STATIC))
        default = self._serve(flag, "default", Reason.DEFAULT)
        decide = _in_turn(prerequisites, rules, default)
        asked = {name for tests, _ in rules for name, _ in tests}
        return _with_key(decide) if TARGETING_KEY in asked else decide

    def _prerequisites(self) -> Iterator[Prerequisite]:
        off = off_of(self._flag)
        for name, variants in asked_by(self._flag).items():
            unmet = self._outcome(off, Reason.DISABLED, prerequisite=name)
            yield name, self._made[name], frozenset(variants), unmet

    def _rules(self) -> Iterator[Rule]:
        """Those that can fit in this region."""
        for rule in self._flag.get("rules", ()):
            serve = self._serve(rule, "serve", Reason.TARGETING_MATCH)
            tests = compile_when(rule.get("when", {}))
            if "regions" not in rule or self._region in rule["regions"]:
                yield tests, serve

    def _serve(self, given: Mapping[str, Any], field_name: str, reason: Reason) -> Serve:
        if "split" in given:
            return self._split(given["split"])
        outcome = self._outcome(given[field_name], reason)
        return lambda _: outcome

    def _split(self, shares: Sequence[Mapping[str, Any]]) -> Serve:
        prefix = f"{self._flag.get('salt', self._name)}\0".encode()
        ends = tuple(accumulate(units_of(share) for share in shares))
        outcomes = tuple(self._outcome(share["serve"], Reason.SPLIT) for share in shares)
        if ends[-1] != WHOLE:
            raise ValueError("the shares of a split do not come to 100 percent")
        message = f"{self._name} is split, and there is no targeting key"
        missing = failed(ErrorCode.TARGETING_KEY_MISSING, message, self._told)

        def serve(key: str | None) -> Evaluation:
            if not key:
                return missing
            return outcomes[bisect_right(ends, bucket_of(prefix, key))]

        return serve

    def _outcome(self, variant: str, reason: Reason, **more: str) -> Evaluation:
        return Evaluation(self._variants[variant], variant, reason, metadata={**self._told, **more})


def _always(outcome: Evaluation) -> Decide:
    return lambda _key, _attributes: outcome


def _unreadable(message: str, told: Mapping[str, str | int]) -> Decide:
    return _always(failed(ErrorCode.PARSE_ERROR, message, told))


def _in_turn(
    prerequisites: tuple[Prerequisite, ...], rules: tuple[Rule, ...], default: Serve
) -> Decide:
    def decide(key: str | None, attributes: Mapping[str, Any]) -> Evaluation:
        for name, asked, variants, unmet in prerequisites:
            found = asked(key, attributes)
            if found.variant not in variants:
                if found.error is None:
                    return unmet
                return failed(found.error, f"prerequisite {name}: {found.message}", unmet.metadata)
        for tests, serve in rules:
            for attribute, holds in tests:
                if not holds(attributes.get(attribute)):
                    break
            else:
                return serve(key)
        return default(key)

    return decide


def _with_key(decide: Decide) -> Decide:
    """For rules that ask for the targeting key as for an attribute."""
    return lambda key, attributes: decide(key, {**attributes, TARGETING_KEY: key})
