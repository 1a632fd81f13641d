"""The language model as the chat sees it: the gateway's HTTP, turned into values and sentences.

Server-sent events are cut by hand at LF, as their specification says: httpx's own line reader also
cuts at U+2028 and its like, which a JSON text may hold unescaped.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

Message = dict[str, str]
LOADING, READY, FAILED = "loading", "ready", "failed"
QUICK_SECONDS = 10.0


class GatewayGone(AlmaError):
    """Nobody answers, or the connection broke."""


class GatewayRefused(AlmaError):
    """The gateway answered with an error; `code` is OpenAI's, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Health:
    """`/health`: `status` is loading, ready or failed; `choice` says why this model, in a line."""

    status: str
    reason: str = ""
    model: str = ""
    choice: str = ""


@dataclass(frozen=True)
class Model:
    """What answers; `context` in tokens, 0 where the server does not say."""

    id: str
    context: int = 0
    sha256: str = ""
    demonstration: bool = False


@dataclass(frozen=True)
class Ended:
    """The last thing of an answer: how it ended and what was counted."""

    reason: str = ""
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


class Gateway:
    """Requests to one gateway."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def health(self) -> Health:
        """How the model is doing.

        Raises:
            GatewayGone: nobody listens.
        """
        said = self._json("GET", "/health")
        text = {k: said.get(k) or "" for k in ("status", "reason", "model", "choice")}
        return Health(**{k: str(v) for k, v in text.items()})

    def model(self) -> Model:
        """The loaded model.

        Raises:
            GatewayGone, GatewayRefused: as they say; none is loaded.
        """
        data = self._json("GET", "/v1/models").get("data")
        if not isinstance(data, list) or not data or not isinstance(data[0], dict):
            raise GatewayRefused(_("no model is loaded"))
        first: dict[str, Any] = data[0]
        context = first.get("context")
        return Model(
            id=str(first.get("id", "")),
            context=context if isinstance(context, int) else 0,
            sha256=str(first.get("sha256") or ""),
            demonstration=first.get("demonstration") is True,
        )

    def count(self, messages: list[Message]) -> int:
        """Tokens of a whole prompt, counted by the model that will read it."""
        count = self._json("POST", "/v1/tokenize", {"messages": messages}).get("count")
        if not isinstance(count, int):
            raise GatewayRefused(_("the server's answer cannot be understood"))
        return count

    def stream(
        self, messages: list[Message], max_tokens: int | None
    ) -> Generator[str | Ended, None, None]:
        """The answer's pieces as they come, then one `Ended`. Close it to stop the model.

        Raises:
            GatewayGone: the connection broke, perhaps in the middle of the answer.
            GatewayRefused: the gateway says what is wrong.
        """
        body: dict[str, Any] = {
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        with _sentences(), self._http.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _refusal(answer)
            yield from _pieces(answer.iter_bytes())

    def _json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        with _sentences():
            answer = self._http.request(method, path, json=body, timeout=QUICK_SECONDS)
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status_code != 200 and path != "/health":
            raise _refusal(answer)
        if not isinstance(said, dict):
            raise GatewayRefused(_("the server's answer cannot be understood"))
        return said


def _pieces(chunks: Iterator[bytes]) -> Iterator[str | Ended]:
    ended = Ended()
    for data in _events(chunks):
        if data == "[DONE]":
            yield ended
            return
        try:
            event = json.loads(data)
        except ValueError:
            raise GatewayRefused(_("the server's answer cannot be understood")) from None
        if not isinstance(event, dict):
            continue
        if error := event.get("error"):
            raise _error(error)
        for choice in event.get("choices") or []:
            if text := (choice.get("delta") or {}).get("content"):
                yield text
            ended = Ended(
                choice.get("finish_reason") or ended.reason,
                ended.prompt_tokens,
                ended.answer_tokens,
            )
        if usage := event.get("usage"):
            counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
            ended = Ended(ended.reason, *counts)
    raise GatewayGone(_("the answer broke off: the connection to the model was lost"))


def _events(chunks: Iterator[bytes]) -> Iterator[str]:
    """The data of each server-sent event, however the bytes are cut."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as exc:
        raise GatewayGone(_("the model's server does not answer on this machine")) from exc
    except httpx.TimeoutException as exc:
        raise GatewayGone(_("the model's server takes too long to answer")) from exc
    except httpx.HTTPError as exc:
        raise GatewayGone(_("the answer broke off: the connection to the model was lost")) from exc


def _refusal(answer: httpx.Response) -> GatewayRefused:
    try:
        return _error(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return GatewayRefused(
            _("the model's server answered with status {status}").format(status=answer.status_code)
        )


def _error(error: object) -> GatewayRefused:
    said = error if isinstance(error, dict) else {"message": error}
    return GatewayRefused(str(said.get("message") or error), str(said.get("code") or ""))
