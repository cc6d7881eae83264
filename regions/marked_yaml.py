"""Read YAML without surprises, and remember on which line each value stood.

The reader takes the plain part of YAML: mappings with text keys, sequences, scalars. It refuses
what makes a document mean something else than it shows: keys given twice (the last would win
silently), aliases (a few of them can unfold into gigabytes), and tags that build objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from regions.findings import Finding, Severity, pointer_to

BYTES_MAX = 1_048_576
DEPTH_MAX = 16


@dataclass(frozen=True, slots=True)
class MarkedYaml:
    """What was read. `value` counts only when there are no findings."""

    value: object
    lines: Mapping[str, int]
    """From JSON pointer to the line, counted from 1, on which the value (or its key) stands."""
    findings: tuple[Finding, ...]

    def line_of(self, pointer: str) -> int | None:
        """Give the line of a value, or of the nearest thing around it that stands in the text."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer)


def read_yaml(text: str) -> MarkedYaml:
    """Read one document. Never raises for what the text holds: that is what findings are for."""
    if len(text) > BYTES_MAX:
        return _refused(f"the document is longer than {BYTES_MAX} characters", "split it", None)
    try:
        refused = _first_forbidden_event(text)
        if refused is not None:
            return refused
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        return _refused(f"this is not YAML: {error.problem or error.context}", "mend it", line)
    except yaml.YAMLError as error:
        return _refused(f"this is not YAML: {error}", "save the file as UTF-8 text", None)
    if root is None:
        return _refused("the document is empty", "write at least `regions` and `stores`", None)
    walk = _Walk()
    value = walk.value_of(root, ())
    return MarkedYaml(value, walk.lines, tuple(walk.findings))


def _refused(message: str, hint: str, line: int | None) -> MarkedYaml:
    return MarkedYaml(None, {}, (Finding(Severity.ERROR, "", message, hint, line),))


def _first_forbidden_event(text: str) -> MarkedYaml | None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            return _refused("aliases (*name) are not allowed", "write the value out", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            return _refused(f"nested deeper than {DEPTH_MAX} levels", "flatten it", line)
    return None


@dataclass(slots=True)
class _Walk:
    """One pass over the node tree: builds the value, and collects lines and findings."""

    lines: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    scalars: yaml.constructor.SafeConstructor = field(
        default_factory=yaml.constructor.SafeConstructor
    )

    def value_of(self, node: yaml.Node, path: tuple[str | int, ...]) -> object:
        self.lines.setdefault(pointer_to(*path), node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self.value_of(item, (*path, at)) for at, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, object]:
        made: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                self._refuse(path, f"the key {key!r} is not text", "put quotes around it", line)
            elif key in made:
                self._refuse((*path, key), "this key is given twice", "delete one of them", line)
            else:
                self.lines[pointer_to(*path, key)] = line
                made[key] = self.value_of(value_node, (*path, key))
        return made

    def _key(self, node: yaml.Node, path: tuple[str | int, ...]) -> object:
        """A key; `on`, `off`, `yes` and `no` are words there, as in YAML 1.2."""
        key = self._scalar(node, path)
        is_word = isinstance(key, bool) and node.value.lower() not in ("true", "false")
        return node.value if is_word else key

    def _scalar(self, node: yaml.Node, path: tuple[str | int, ...]) -> object:
        if not isinstance(node, yaml.ScalarNode):
            return None
        try:
            value: object = self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            message = f"{str(node.value)[:60]!r} cannot be read as {node.tag.rpartition(':')[2]}"
            hint = "put quotes around it if text is meant"
            self._refuse(path, message, hint, node.start_mark.line + 1)
            return None
        return value

    def _refuse(self, path: tuple[str | int, ...], message: str, hint: str, line: int) -> None:
        self.findings.append(Finding(Severity.ERROR, pointer_to(*path), message, hint, line))
