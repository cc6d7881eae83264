"""What is compared: the twin, and real servers that run the function library.

Each target answers calls and shows all it holds, in one and the same form. What must differ between
stores (the incarnation each one mints, the run id) is replaced by a word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import redis

from regions.codec import Reply, as_text, pack_call, unpack, unpack_reply
from regions.scripts.state import Grant, Group, StoreState
from shards.scripts.draft_state import Draft
from shards.scripts.library import leadplane_library
from shards.scripts.model import empty_store
from shards.scripts.snapshots import read_kv
from shards.scripts.state import Data, Shard

RIGHT = "<the right incarnation>"
RUN = "<run id>"
_LOG_FIELDS = ("te", "ts", "tc", "ae", "as", "cm", "ap", "fz", "be", "bs", "bc")
_BOUNDS = (*_LOG_FIELDS, "bytes")
_GRANT_FIELDS = ("pe", "pf", "he", "h", "st", "tgt", "rvk", "ver", "sync", "prev", "pref")
_DEFAULTS = {"h": "", "st": "free", "tgt": "", "pref": ""}


class Target(Protocol):
    """A store to be compared."""

    name: str

    def wipe(self) -> None:
        """Forget everything."""

    def call(self, header: list[Any], commands: list[Any], only_reads: bool = False) -> Any:
        """The reply to a call, normalised."""

    def call_raw(self, arguments: list[bytes]) -> Any:
        """The reply to a call that need not be one, normalised."""

    def dump(self) -> dict[str, Any]:
        """Everything it holds, normalised."""


def normal(value: Any, incarnation: str, run_id: str) -> Any:
    """Binary as text, and words in the place of what each store has for itself."""
    if isinstance(value, bytes):
        value = as_text(value)
    if isinstance(value, str):
        if value and value == incarnation:
            return RIGHT
        return RUN if value == run_id else str(value)
    if isinstance(value, list | tuple):
        return [normal(each, incarnation, run_id) for each in value]
    if isinstance(value, dict):
        return {
            normal(name, incarnation, run_id): normal(each, incarnation, run_id)
            for name, each in value.items()
        }
    return value


def _addressed(header: Any, incarnation: str) -> Any:
    if isinstance(header, list):
        return [incarnation if field == RIGHT else field for field in header]
    return header


def _shown(reply: Reply) -> list[Any]:
    shown = [reply.code, reply.store_id, reply.incarnation, reply.run_id, reply.opseq]
    return normal([*shown, reply.results], reply.incarnation, reply.run_id)


class Twin:
    """The model in Python, spoken to as a store is: in bytes."""

    name = "twin"

    def __init__(self) -> None:
        self.store = empty_store("0123abcd", lambda: (1_700_000_000, 7))

    def wipe(self) -> None:
        self.store.restore(StoreState())

    def call(self, header: list[Any], commands: list[Any], only_reads: bool = False) -> Any:
        arguments = pack_call(_addressed(header, self.store.state.incarnation), commands)
        return _shown(unpack_reply(self.store.call_bytes(arguments, only_reads=only_reads)))

    def call_raw(self, arguments: list[bytes]) -> Any:
        return _shown(unpack_reply(self.store.call_bytes(arguments)))

    def dump(self) -> dict[str, Any]:
        state = self.store.state
        if not state.incarnation:
            return {}
        meta = {
            "id": state.store_id,
            "inc": state.incarnation,
            "nonce": state.nonce,
            "opseq": str(state.opseq),
            "format": "1",
            "run_id": state.admitted_run_id or self.store.run_id,
        }
        dump: dict[str, Any] = {"lp:meta": meta}
        dump["lp:proc"] = {name: str(number) for name, number in state.generations.items()}
        dump["lp:groups"] = dict.fromkeys(state.groups, 0)
        for name in state.groups:
            self._dump_group(dump, f"lp:g:{name}", name)
        return normal({k: v for k, v in dump.items() if v}, state.incarnation, self.store.run_id)

    def _dump_group(self, dump: dict[str, Any], key: str, name: str) -> None:
        group = self.store.state.groups[name]
        head = {
            "version": str(group.version),
            "state": group.state,
            "desc": group.description,
            "next": group.next,
            "to": str(group.to) if group.to else False,
            "by": group.by or False,
        }
        dump[key] = {field: value for field, value in head.items() if value is not False}
        dump[f"{key}:all"] = {f"s/{shard}": 1 for shard in group.shard_names()}
        dump |= _change_parts(name, group)
        dump[f"{key}:live"] = dict.fromkeys(group.live, 0)
        dump[f"{key}:chg"] = dict(group.changes)
        dump[f"{key}:ss"] = {
            sid: [
                s.counter,
                int(s.dead),
                s.revision,
                [[shard, str(epoch)] for shard, epoch in s.revocations],
                s.seen,
                s.node,
                s.region,
                s.url,
                s.process,
            ]
            for sid, s in group.sessions.items()
        }
        for shard, draft in group.drafts.items():
            dump |= _draft_parts(key, shard, draft)
        for shard in group.grants.keys() | group.shards.keys():
            grant = group.grants.get(shard) or Grant()
            record: Shard = group.shards.get(shard) or Shard()
            fields = {field: getattr(grant, field) for field in _GRANT_FIELDS}
            fields |= {f: getattr(record, "as_" if f == "as" else f) for f in _LOG_FIELDS}
            fields |= {"bytes": record.data.size_bytes, "sn": record.sn, "lc": record.lc}
            fields["sb"] = record.stage.size_bytes
            dump[f"{key}:sh:{shard}"] = _not_default(fields)
            dump[f"{key}:lg:{shard}"] = {str(seq): blob for seq, blob in record.log.items()}
            parts = _data_parts(record.data)
            dump |= {f"{key}:{part}:{shard}": held for part, held in parts.items()}
            staged = _data_parts(record.stage)
            dump |= {f"lp:stage:{name}:{part}:{shard}": held for part, held in staged.items()}


def _change_parts(name: str, group: Group) -> dict[str, Any]:
    """The register, and what is staged for the next version."""
    r = group.register
    numbers = {"v": r.version, "n": r.n, "an": r.an}
    register = {field: str(number) for field, number in numbers.items()}
    merged = {f"merged:{by}": sorted(shards) for by, shards in group.merged.items()}
    tails = {f"log:{by}:{shard}": entries for (by, shard), entries in group.tails.items()}
    named = {*merged, *tails, *(f"pages:{shard}" for shard in group.paged)}
    parts = {f"lp:stage:{name}:attempts": sorted(named)}
    parts |= {f"lp:stage:{name}:{of}": shards for of, shards in merged.items()}
    for of, entries in tails.items():
        parts[f"lp:stage:{name}:{of}"] = {str(seq): blob for seq, blob in entries.items()}
    if r.version:
        parts[f"lp:reg:{name}"] = {**register, "p": r.p, "ap": r.ap, "ad": r.ad}
    return parts


def _draft_parts(key: str, shard: str, draft: Draft) -> dict[str, Any]:
    """The record of a draft, what it holds, and whose ids they are, if it has two parents."""
    numbers = {"n": draft.number, "und": draft.undrafted, "bytes": draft.data.size_bytes}
    fields: dict[str, Any] = {field: str(number) for field, number in numbers.items() if number}
    fields |= {f"p{p}": parent.kept() for p, parent in enumerate(draft.parents)}
    data = replace(draft.data, ids=draft.known_ids())
    parts = _data_parts(data)
    if len(draft.ids) > 1:
        for p, known in enumerate(draft.ids):
            parts[f"q{p}"] = {op_id: of[0] for op_id, of in known.items()}
        both = draft.ids[0].keys() & draft.ids[1].keys()
        parts["qs"] = {op_id: draft.ids[1][op_id] for op_id in both}
    return {f"{key}:{part}:{shard}": held for part, held in {"dr": fields, **parts}.items()}


def _data_parts(data: Data) -> dict[str, Any]:
    return {
        "kv": data.kv,
        "ix": dict.fromkeys(data.names, 0),
        "id": data.ids,
        "iq": {op_id: known[0] for op_id, known in data.ids.items()},
        "hi": {str(epoch): record for epoch, record in data.history.items()},
    }


def _not_default(fields: dict[str, Any]) -> dict[str, str]:
    texts = {f: as_text(v) if isinstance(v, bytes | str) else str(v) for f, v in fields.items()}
    return {field: text for field, text in texts.items() if text != _DEFAULTS.get(field, "0")}


class Remote:
    """A real server."""

    def __init__(self, name: str, client: redis.Redis) -> None:
        self.name = name
        self.client = client
        self.incarnation = ""
        self.run_id = client.info("server")["run_id"]
        self.start_anew()

    def start_anew(self) -> None:
        """Load the library, so that nothing is known from earlier calls, as after a restart."""
        self.client.function_load(leadplane_library().code, replace=True)

    def wipe(self) -> None:
        self.client.flushall()
        self.incarnation = ""

    def call(self, header: list[Any], commands: list[Any], only_reads: bool = False) -> Any:
        arguments = pack_call(_addressed(header, self.incarnation), commands)
        return self._call("leadplane_read" if only_reads else "leadplane_call", arguments)

    def call_raw(self, arguments: list[bytes]) -> Any:
        return self._call("leadplane_call", arguments)

    def _call(self, function: str, arguments: list[bytes]) -> Any:
        reply = unpack_reply(self.client.execute_command("FCALL", function, 0, *arguments))
        self.incarnation = reply.incarnation
        return _shown(reply)

    def dump(self) -> dict[str, Any]:
        keys = sorted(self.client.keys("*"))
        types = self._piped(("TYPE", key) for key in keys)
        read = {
            b"hash": lambda key: ("HGETALL", key),
            b"zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
            b"string": lambda key: ("GET", key),
            b"set": lambda key: ("SMEMBERS", key),
        }
        values = self._piped(
            read[kind if isinstance(kind, bytes) else kind.encode()](key)
            for key, kind in zip(keys, types, strict=True)
        )
        dump = {
            as_text(key): _decoded(as_text(key), value)
            for key, value in zip(keys, values, strict=True)
        }
        return normal({k: v for k, v in dump.items() if v}, self.incarnation, self.run_id)

    def _piped(self, commands: Any) -> list[Any]:
        pipe = self.client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        answers: list[Any] = pipe.execute()
        return answers


def _decoded(key: str, value: Any) -> Any:
    if isinstance(value, set):
        return sorted(map(as_text, value))
    if isinstance(value, list):  # a sorted set
        return {as_text(name): int(score) for name, score in value}
    if not isinstance(value, dict):
        return value
    fields = {as_text(name): each for name, each in value.items()}
    kind = key.removeprefix("lp:").split(":")
    if "sh" in kind:
        bounds = as_text(fields.pop("log", b"")).split()
        return _not_default(fields | dict(zip(_BOUNDS, bounds, strict=False)))
    if "kv" in kind:
        return {name: list(read_kv(record)) for name, record in fields.items()}
    if "dr" in kind:
        packed = {name: unpack(each) for name, each in fields.items() if name in {"p0", "p1"}}
        return {name: as_text(each) for name, each in fields.items()} | packed
    if "qs" in kind:
        return {name: unpack(packed) for name, packed in fields.items()}
    if kind[-1] == "ss" or {"id", "hi"} & set(kind):
        return {name: unpack(packed) for name, packed in fields.items()}
    return fields
