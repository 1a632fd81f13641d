"""Error answers in OpenAI's shape, which every service of ours uses."""

from __future__ import annotations

import json


def error_object(message: str, kind: str, code: str | None = None) -> dict[str, object]:
    """`{"error": {...}}` as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_bytes(message: str, kind: str, code: str | None = None) -> bytes:
    """The same as UTF-8 JSON."""
    return json.dumps(error_object(message, kind, code), ensure_ascii=False).encode("utf-8")
