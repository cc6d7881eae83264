"""Columns of figures as plain data: lists, or base64 of little-endian bytes where they are long.

`{"base64": "...", "dtype": "float32", "shape": [1000, 12]}` takes four bytes a figure and no time
to read. A list says the same to a person; null in it is a hole.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regions.findings import Finding
from shards.placement.errors import ProblemInvalid
from shards.placement.problem import mask_of
from shards.placement.problem_check import wrong

PACKED_FROM = 256
"""Shorter columns are written as lists."""
DTYPES = ("float64", "float32", "int32", "int16", "uint8", "uint64")
Pointer = tuple[str | int, ...]


def refuse(said: str, hint: str, *place: str | int) -> ProblemInvalid:
    """The error for one thing that is wrong."""
    return ProblemInvalid([wrong(said, hint, *place)])


def listed_or_packed(array: NDArray[Any]) -> Any:
    """A column as plain data: a list while that is short."""
    return _listed(array.tolist()) if array.size < PACKED_FROM else packed(array)


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """A column as base64 with its type and shape."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    data = b64encode(little.tobytes()).decode("ascii")
    return {"base64": data, "dtype": str(array.dtype), "shape": list(array.shape)}


def _listed(value: Any) -> Any:
    if isinstance(value, list):
        return [_listed(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def unpacked(value: Any, dtype: str, *place: str | int) -> NDArray[Any]:
    """A column of numbers from plain data; null is NaN. Raises ProblemInvalid."""
    if isinstance(value, Mapping):
        return _from_base64(value, dtype, place)
    if not isinstance(value, list):
        raise refuse("should be a list, or packed", "list the figures", *place)
    for index, each in enumerate(value):
        row = each if isinstance(each, list) else [each]
        for column, figure in enumerate(row):
            if figure is not None and (
                isinstance(figure, bool) or not isinstance(figure, int | float)
            ):
                inner = (column,) if isinstance(each, list) else ()
                raise refuse(f"{figure!r} is no number", "give one", *place, index, *inner)
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise refuse("its rows differ in length", "make them alike", *place) from None
    if dtype.startswith("float"):
        return array.astype(dtype)
    if not np.all((array == np.floor(array)) & (np.abs(array) < 2**53)):
        raise refuse("holds something that is no whole number", "give whole ones", *place)
    return _whole(array, dtype, place)


def _whole(array: NDArray[Any], dtype: str, place: Pointer) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise refuse("holds a number out of range", "give smaller ones", *place)
    return array.astype(dtype)


def _from_base64(value: Mapping[str, Any], dtype: str, place: Pointer) -> NDArray[Any]:
    if set(value) != {"base64", "dtype", "shape"}:
        raise refuse("a packed column has base64, dtype and shape", "give these", *place)
    kind, shape = value["dtype"], value["shape"]
    if kind not in DTYPES:
        raise refuse(f"{kind!r} is no dtype", f"use one of {', '.join(DTYPES)}", *place, "dtype")
    is_shape = isinstance(shape, list) and all(type(each) is int and each >= 0 for each in shape)
    if not is_shape or not 1 <= len(shape) <= 2:
        raise refuse("is no shape", "give one or two lengths", *place, "shape")
    try:
        data = b64decode(value["base64"], validate=True)
        array = np.frombuffer(data, dtype=np.dtype(kind).newbyteorder("<")).reshape(shape)
    except (binascii.Error, ValueError, TypeError):
        raise refuse(
            "does not decode to its shape", "pack the column again", *place, "base64"
        ) from None
    if np.dtype(dtype).kind == "f":
        return array.astype(dtype)
    if np.dtype(kind).kind == "f":
        raise refuse("holds fractions where whole numbers belong", "pack integers", *place)
    return array.astype(dtype) if kind == dtype else _whole(array, dtype, place)


def place_in(names: Sequence[str], name: Any, *place: str | int) -> int:
    """The number of a region by its name. Raises ProblemInvalid for an unknown one."""
    if not isinstance(name, str) or name not in names:
        raise refuse(f"there is no region {name!r}", f"name one of {', '.join(names)}", *place)
    return names.index(name)


def mask_in(names: Sequence[str], value: Any, *place: str | int) -> int:
    """A mask from a list of names. Raises ProblemInvalid for an unknown one."""
    if not isinstance(value, list):
        raise refuse("should be a list of regions", "list their names", *place)
    return mask_of([place_in(names, each, *place, index) for index, each in enumerate(value)])


def known_fields(value: Any, fields: Sequence[str], *place: str | int) -> Mapping[str, Any]:
    """A mapping that has no other fields than these. Raises ProblemInvalid."""
    if not isinstance(value, Mapping):
        raise refuse("should be a mapping of fields", f"give {', '.join(fields)}", *place)
    strange: list[Finding] = [
        wrong(f"there is no field `{name}` here", "delete it", *place, str(name))
        for name in value
        if name not in fields
    ]
    if strange:
        raise ProblemInvalid(strange)
    return value
