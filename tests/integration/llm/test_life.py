"""The gateway's life: engines that die, models that cannot be used, and leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.llm.conftest import Place

pytestmark = pytest.mark.image


def is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has), waiting for it a while."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def ask(place: Place) -> int:
    with place.client() as http:
        status: int = http.post(
            "/v1/completions", json={"prompt": "a", "max_tokens": 2}
        ).status_code
        return status


def test_the_key_and_the_engines_folder_are_private(place: Place) -> None:
    place.start()
    assert stat.S_IMODE(place.key_file.stat().st_mode) == 0o640
    assert stat.S_IMODE((place.run_dir / "llm" / "engine").stat().st_mode) == 0o700


def test_while_it_loads_requests_are_told_so(place: Place) -> None:
    place.start()
    health = place.health()
    with place.client() as http:
        answer = http.post("/v1/completions", json={"prompt": "a"})
    assert health["status"] == "loading"
    assert health["reason"]
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "loading")
    place.wait_for("ready")
    assert ask(place) == 200


def test_sigterm_leaves_no_engine_no_key_and_no_socket(place: Place) -> None:
    place.start()
    place.wait_for("ready")
    engine = place.engine_pid()
    assert place.stop() == 0
    assert is_gone(engine)
    assert not place.key_file.exists()
    assert list((place.run_dir / "llm" / "engine").iterdir()) == []


def test_sigterm_ends_a_reply_in_progress(place: Place) -> None:
    place.start()
    place.wait_for("ready")
    engine = place.engine_pid()
    request = {"prompt": "a", "max_tokens": 1900, "stream": True, "logit_bias": {"258": -100}}
    with (
        place.client() as http,
        http.stream("POST", "/v1/completions", json=request) as response,
    ):
        next(response.iter_raw())
        assert place.stop() == 0
    assert is_gone(engine)


def test_systemd_hears_ready_when_a_model_answers_and_not_before(place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place.home / "notify"))
        place.variables["NOTIFY_SOCKET"] = str(place.home / "notify")
        place.start()
        said = []
        while b"READY=1" not in (message := systemd.recv(4096)):
            said.append(message)
        assert place.health()["status"] == "ready"
    assert said
    assert all(b"STATUS=" in m and b"EXTEND_TIMEOUT_USEC=" in m for m in said)


def test_a_killed_gateway_takes_the_engine_with_it(place: Place) -> None:
    place.start()
    place.wait_for("ready")
    engine = place.engine_pid()
    place.kill()
    assert is_gone(engine)
    place.stop()


def test_a_dead_engine_is_told_to_the_waiting_client_and_started_again(place: Place) -> None:
    place.start()
    place.wait_for("ready")
    request = {"prompt": "a", "max_tokens": 1900, "stream": True, "logit_bias": {"258": -100}}
    with (
        place.client() as http,
        http.stream("POST", "/v1/completions", json=request) as response,
    ):
        lines = response.iter_lines()
        next(lines)
        os.kill(place.engine_pid(), signal.SIGKILL)
        last = [line for line in lines if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_gone"
    assert place.wait_for("ready")["model"] == "big"
    assert ask(place) == 200


def test_an_engine_that_keeps_dying_gives_way_to_the_next_smaller_model(place: Place) -> None:
    place.start()
    for _attempt in range(4):
        assert place.wait_for("ready")["model"] == "big"
        pid = place.engine_pid()
        os.kill(pid, signal.SIGKILL)
        assert is_gone(pid)
        place.wait_for_loss(pid)
    health = place.wait_for("ready")
    assert health["model"] == "seed"
    assert "SIGKILL" in health["choice"]
    assert ask(place) == 200


def test_a_variant_that_meets_an_illegal_instruction_at_work_is_never_used_again(
    place: Place,
) -> None:
    place.start()
    place.wait_for("ready")
    first = place.remembered()["good"]
    pid = place.engine_pid()
    os.kill(pid, signal.SIGILL)
    place.wait_for_loss(pid)
    place.wait_for("ready")
    known = place.remembered()
    assert first in known["failed"]
    assert known["good"] != first
    assert ask(place) == 200


def test_a_file_that_is_not_the_locked_one_is_not_loaded(place: Place) -> None:
    path = place.models / "big.gguf"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    place.start()
    health = place.wait_for("ready")
    assert health["model"] == "seed"
    assert "big.gguf" in health["choice"]


def test_a_locked_model_that_the_engine_cannot_load_gives_way_to_the_next(place: Place) -> None:
    path = place.models / "big.gguf"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    place.lock()
    place.start()
    assert place.wait_for("ready")["model"] == "seed"


def test_a_broken_llm_model_json_is_told_and_the_choice_is_automatic(place: Place) -> None:
    place.tree.llm_config.write_text('{\n"model": seed}')
    place.start()
    health = place.wait_for("ready")
    assert health["model"] == "big"
    assert "llm_model.json: línea 2" in health["choice"]


def test_llm_model_json_fixes_the_model_and_its_context(place: Place) -> None:
    place.tree.llm_config.write_text('{"model": "seed", "context": 512}')
    place.start()
    health = place.wait_for("ready")
    assert health["model"] == "seed"
    with place.client() as http:
        assert http.get("/v1/models").json()["data"][0]["context"] == 512


@pytest.mark.parametrize("without", ["models", "engine"])
def test_without_models_or_engine_the_gateway_stays_up_and_says_what_is_missing(
    place: Place, tmp_path: Path, without: str
) -> None:
    if without == "models":
        place.models = tmp_path
    else:
        place.engine_dir = tmp_path
    place.start()
    health = place.wait_for("failed")
    assert str(tmp_path) in health["reason"] or without == "engine"
    with place.client() as http:
        answer = http.post("/v1/completions", json={"prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "failed")


def test_a_tree_that_cannot_be_written_is_no_error(place: Place) -> None:
    place.tree.llm_cache.rmdir()
    place.tree.llm_cache.write_text("not a folder")
    place.start()
    place.wait_for("ready")
    assert ask(place) == 200


def test_doctor_says_what_would_be_chosen(place: Place) -> None:
    command = [sys.executable, "-m", "alma_runtime.cli", "doctor"]
    done = subprocess.run(
        [*command, "--json"], env=place.environment(), capture_output=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["chosen"] == "big"
    assert report["models"] == ["big", "seed"]
    assert report["variants"][-1] == "x64"
    assert report["problems"] == []
    done = subprocess.run(command, env=place.environment(), capture_output=True, check=True)
    assert "Procesador" in done.stdout.decode()


def test_a_second_gateway_on_the_same_port_is_refused_in_words(place: Place) -> None:
    place.start()
    port = place.url.rpartition(":")[2]
    command = [sys.executable, "-m", "alma_runtime.cli", "serve", "--port", port]
    done = subprocess.run(command, env=place.environment(), capture_output=True, check=False)
    assert done.returncode == 1
    assert "--port" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert place.key_file.exists()
