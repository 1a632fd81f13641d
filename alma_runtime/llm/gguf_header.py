"""Reading what a model says about itself: the metadata at the beginning of a GGUF file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3). Arrays are
stepped over and only their length is kept. Nothing is believed: counts and lengths are bounded
before anything is allocated, because a model file is input from outside.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

MAGIC = b"GGUF"
MAX_KEYS = 4096
MAX_TEXT = 1 << 20
MAX_ITEMS = 1 << 24
MAX_DEPTH = 2
STRING, ARRAY = 8, 9
SCALARS = dict(enumerate("BbHhIif?", start=0)) | {10: "Q", 11: "q", 12: "d"}

Value = int | float | bool | str


@dataclass(frozen=True)
class Header:
    """Metadata by key; of an array only its length, under its key."""

    values: dict[str, Value]
    lengths: dict[str, int]

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def number(self, name: str, default: int = 0) -> int:
        """A number of the architecture's own, such as `block_count`; per-layer arrays: default."""
        value = self.values.get(f"{self.architecture}.{name}", default)
        return max(0, value) if isinstance(value, int) else default

    @property
    def context(self) -> int:
        """Tokens the model was made for."""
        return self.number("context_length")


class _Malformed(Exception):
    """Why the bytes are not a GGUF header; turned into a sentence with the file's name."""


def read_header(path: Path) -> Header:
    """The metadata of a model file.

    Raises:
        AlmaError: it cannot be read, is no GGUF file, or is damaged; the message says which.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream)
    except OSError as exc:
        raise AlmaError(
            _("{path}: cannot be read: {reason}").format(path=path, reason=exc.strerror)
        ) from exc
    except _Malformed as exc:
        raise AlmaError(
            _("{path}: is not a model that can be used: {reason}").format(path=path, reason=exc)
        ) from exc


def _read(stream: BinaryIO) -> Header:
    if stream.read(4) != MAGIC:
        raise _Malformed(_("it is not a GGUF file"))
    version, _tensors, keys = struct.unpack("<IQQ", _take(stream, 20))
    if version not in (2, 3):
        raise _Malformed(_("GGUF version {version} is unknown").format(version=version))
    if keys > MAX_KEYS:
        raise _Malformed(_("too many metadata entries"))
    header = Header({}, {})
    for _number in range(keys):
        name = _text(stream)
        kind = _integer(stream, "I")
        if kind == ARRAY:
            header.lengths[name] = _skip_array(stream, 0)
        else:
            header.values[name] = _value(stream, kind)
    return header


def _value(stream: BinaryIO, kind: int) -> Value:
    if kind == STRING:
        return _text(stream)
    code = SCALARS.get(kind)
    if code is None:
        raise _Malformed(_("unknown kind of value {kind}").format(kind=kind))
    value: int | float | bool
    (value,) = struct.unpack("<" + code, _take(stream, struct.calcsize(code)))
    return value


def _skip_array(stream: BinaryIO, depth: int) -> int:
    kind, length = _integer(stream, "I"), _integer(stream, "Q")
    if length > MAX_ITEMS or depth > MAX_DEPTH:
        raise _Malformed(_("a list is too long"))
    if kind in SCALARS:
        stream.seek(length * struct.calcsize(SCALARS[kind]), 1)
    elif kind == STRING:
        for _number in range(length):
            _take(stream, _bounded(_integer(stream, "Q")))
    elif kind == ARRAY:
        for _number in range(length):
            _skip_array(stream, depth + 1)
    else:
        raise _Malformed(_("unknown kind of value {kind}").format(kind=kind))
    return length


def _text(stream: BinaryIO) -> str:
    return _take(stream, _bounded(_integer(stream, "Q"))).decode("utf-8", "replace")


def _bounded(length: int) -> int:
    if length > MAX_TEXT:
        raise _Malformed(_("a text is too long"))
    return length


def _integer(stream: BinaryIO, code: str) -> int:
    value: int
    (value,) = struct.unpack("<" + code, _take(stream, struct.calcsize(code)))
    return value


def _take(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise _Malformed(_("it ends too early"))
    return data
