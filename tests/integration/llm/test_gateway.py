"""The gateway in OpenAI's shapes, over a real engine."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.integration.llm.conftest import Place

pytestmark = pytest.mark.image

TURN = [{"role": "user", "content": "¿Qué tal, niña?"}]
LONG: dict[str, Any] = {"max_tokens": 1900, "logit_bias": {"258": -100}}  # never an end of turn


def events(response: httpx.Response) -> list[Any]:
    """The data of every event, the final `[DONE]` included."""
    lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith(("data: ", ":")) for line in lines)
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [d if d == "[DONE]" else json.loads(d) for d in data]


def engine_numbers(running: Place) -> dict[str, float]:
    """The engine's own counters, asked behind the gateway's back."""
    (socket,) = (running.run_dir / "llm" / "engine").glob("*.sock")
    transport = httpx.HTTPTransport(uds=str(socket))
    with httpx.Client(transport=transport, base_url="http://engine") as http:
        text = http.get("/metrics").text
    pairs = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("llamacpp:"): float(value) for name, value in pairs}


def test_health_tells_the_model_and_why_in_one_line(running: Place) -> None:
    health = running.health()
    assert (health["status"], health["model"]) == ("ready", "big")
    assert health["choice"].startswith("Modelo: big")
    assert "\n" not in health["choice"]


def test_the_model_list_names_the_file_by_its_hash(running: Place) -> None:
    with running.client() as http:
        (model,) = http.get("/v1/models").json()["data"]
    assert (model["id"], model["object"], model["context"]) == ("big", "model", 2048)
    assert len(model["sha256"]) == 64


def test_a_chat_answers_with_usage(running: Place) -> None:
    with running.client() as http:
        answer = http.post("/v1/chat/completions", json={"messages": TURN, "max_tokens": 4}).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["usage"]["completion_tokens"] <= 4
    assert answer["model"] == "big"


def test_a_stream_says_what_the_whole_answer_says(running: Place) -> None:
    request = {"messages": TURN, "max_tokens": 24, "temperature": 0, "seed": 1}
    with running.client() as http:
        whole = http.post("/v1/chat/completions", json=request).json()
        request |= {"stream": True, "stream_options": {"include_usage": True}}
        with http.stream("POST", "/v1/chat/completions", json=request) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            received = events(response)
    assert received[-1] == "[DONE]"
    pieces = [c["delta"].get("content") for e in received[:-1] for c in e["choices"]]
    assert "".join(p or "" for p in pieces) == whole["choices"][0]["message"]["content"]
    assert received[-2]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_a_plain_completion_answers(running: Place) -> None:
    with running.client() as http:
        answer = http.post("/v1/completions", json={"prompt": "abc", "max_tokens": 2}).json()
    assert answer["object"] == "text_completion"


def test_tokens_are_counted_as_the_model_sees_them(running: Place) -> None:
    with running.client() as http:
        assert http.post("/v1/tokenize", json={"content": "abñ"}).json() == {"count": 3}
        counted = http.post("/v1/tokenize", json={"messages": TURN}).json()["count"]
        request = {"messages": TURN, "max_tokens": 1}
        usage = http.post("/v1/chat/completions", json=request).json()["usage"]
    assert counted == usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", b"{"),
        ("/v1/chat/completions", b"[]"),
        ("/v1/chat/completions", b"{}"),
        ("/v1/chat/completions", b'{"messages": []}'),
        ("/v1/chat/completions", b'{"messages": [3]}'),
        ("/v1/chat/completions", b'{"messages": [{"role": "user"}], "temperature": "hot"}'),
        ("/v1/completions", b'{"prompt": 3}'),
        ("/v1/tokenize", b"{}"),
        ("/v1/tokenize", b'{"messages": [3]}'),
        ("/v1/chat/completions", b"[" * 100000),
    ],
)
def test_a_bad_request_is_an_openai_error(running: Place, path: str, content: bytes) -> None:
    with running.client() as http:
        answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert running.health()["status"] == "ready"


def test_a_prompt_that_is_too_long_says_by_how_much(running: Place) -> None:
    with running.client() as http:
        answer = http.post("/v1/completions", json={"prompt": "x" * 3000})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "952" in error["message"]


@pytest.mark.parametrize("path", ["/props", "/slots", "/v1/chat/completions/control", "/metrics"])
def test_the_engines_own_routes_are_not_reached(running: Place, path: str) -> None:
    with running.client() as http:
        assert http.get(path).status_code in (404, 405)


def test_an_unknown_path_is_an_openai_error(running: Place) -> None:
    with running.client() as http:
        assert http.get("/nowhere").json()["error"]["message"]


def test_without_the_key_nothing_is_answered(running: Place) -> None:
    assert httpx.get(running.url + "/v1/models").status_code == 401


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_the_engine(running: Place, stream: bool) -> None:
    before = engine_numbers(running)["tokens_predicted_total"]
    request = {"messages": TURN, "stream": stream, **LONG}
    with running.client() as http:
        if stream:
            with http.stream("POST", "/v1/chat/completions", json=request) as response:
                next(response.iter_raw())
        else:
            with pytest.raises(httpx.ReadTimeout):
                http.post("/v1/chat/completions", json=request, timeout=0.5)
        http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})  # waits for the engine
    assert engine_numbers(running)["tokens_predicted_total"] - before < LONG["max_tokens"]


def test_clients_at_the_same_time_are_all_answered(running: Place) -> None:
    def ask(number: int) -> str:
        with running.client() as http:
            request = {"prompt": f"{number} ", "max_tokens": 3, "logit_bias": {"258": -100}}
            answer = http.post("/v1/completions", json=request).json()
            return str(answer["choices"][0]["finish_reason"])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"length"}


def test_more_than_the_queue_holds_is_refused_and_the_rest_is_answered(running: Place) -> None:
    together = threading.Barrier(40)

    def ask(_number: int) -> int:
        with running.client() as http:
            http.get("/health")  # the connection first
            together.wait()
            request = {"prompt": "a", "max_tokens": 10, "logit_bias": {"258": -100}}
            status: int = http.post("/v1/completions", json=request).status_code
            return status

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(ask, range(40)))
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 32
