"""Volumes on real files, with the real cryptsetup of the tools tree."""

from __future__ import annotations

import functools
import os
import uuid
from pathlib import Path

import pytest

from alma_image.release.sandbox import Sandbox
from alma_runtime import run, volumes
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.volumes import Kdf, Runner

CHEAP = Kdf.argon2id(memory_kib=32768, iterations=4, parallel=1)
SECRET = "clave con ñ y espacios".encode()
PAYLOAD = bytes(range(256)) * 4096


@pytest.fixture
def runner(tools: Sandbox, tmp_path: Path) -> Runner:
    """cryptsetup of the tools tree."""
    return functools.partial(tools.run, binds=[tmp_path])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "volume.img"
    path.write_bytes(PAYLOAD)
    os.truncate(path, len(PAYLOAD) + volumes.RESERVE)
    return path


@pytest.fixture
def volume(runner: Runner, image: Path) -> Path:
    volumes.encrypt_image(runner, image, SECRET, CHEAP, str(uuid.uuid4()))
    return image


class TestEncryptImage:
    def test_header_says_what_was_asked_for(self, runner: Runner, image: Path) -> None:
        wanted = str(uuid.uuid4())
        volumes.encrypt_image(runner, image, SECRET, CHEAP, wanted)
        header = volumes.dump(runner, image)
        slot = header["keyslots"]["0"]
        segment = header["segments"]["0"]
        assert volumes.uuid_of(runner, image) == wanted
        assert (slot["kdf"]["type"], slot["kdf"]["time"]) == ("argon2id", 4)
        assert (slot["kdf"]["memory"], slot["kdf"]["cpus"]) == (32768, 1)
        assert (segment["encryption"], segment["sector_size"]) == ("aes-xts-plain64", 4096)
        assert int(segment["offset"]) == volumes.PAYLOAD_OFFSET
        assert slot["key_size"] == 64

    def test_nothing_of_the_content_stays_readable(self, volume: Path) -> None:
        assert PAYLOAD[:64] not in volume.read_bytes()

    def test_size_stays_and_no_other_file_is_left(self, volume: Path) -> None:
        assert volume.stat().st_size == len(PAYLOAD) + volumes.RESERVE
        assert list(volume.parent.iterdir()) == [volume]

    def test_content_at_the_end_is_refused_and_untouched(self, runner: Runner, image: Path) -> None:
        with image.open("r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            stream.write(b"x")
        before = image.read_bytes()
        with pytest.raises(AlmaError, match=str(image)):
            volumes.encrypt_image(runner, image, SECRET, CHEAP, str(uuid.uuid4()))
        assert image.read_bytes() == before

    @pytest.mark.parametrize("size", [0, volumes.RESERVE, volumes.RESERVE + 4097])
    def test_unusable_size_is_refused(self, runner: Runner, image: Path, size: int) -> None:
        os.truncate(image, size)
        with pytest.raises(AlmaError, match=str(image)):
            volumes.encrypt_image(runner, image, SECRET, CHEAP, str(uuid.uuid4()))

    def test_empty_secret_is_refused(self, runner: Runner, image: Path) -> None:
        with pytest.raises(AlmaError):
            volumes.encrypt_image(runner, image, b"", CHEAP, str(uuid.uuid4()))
        assert image.read_bytes()[: len(PAYLOAD)] == PAYLOAD


class TestSecrets:
    def test_only_the_right_one_opens(self, runner: Runner, volume: Path) -> None:
        assert volumes.check_secret(runner, volume, SECRET)
        assert not volumes.check_secret(runner, volume, SECRET + b"\n")

    def test_binary_key_is_added_with_its_own_cost(self, runner: Runner, volume: Path) -> None:
        key = b"\n\x00\xff" + os.urandom(61)
        volumes.add_key(runner, volume, SECRET, key, Kdf.for_random_key())
        kdf = volumes.dump(runner, volume)["keyslots"]["1"]["kdf"]
        assert (kdf["type"], kdf["iterations"]) == ("pbkdf2", 1000)
        assert volumes.check_secret(runner, volume, key)
        assert volumes.check_secret(runner, volume, SECRET)

    def test_wrong_one_adds_nothing(self, runner: Runner, volume: Path) -> None:
        with pytest.raises(volumes.WrongSecret, match=str(volume)):
            volumes.add_key(runner, volume, b"otra", b"nueva", CHEAP)
        assert list(volumes.dump(runner, volume)["keyslots"]) == ["0"]

    def test_never_in_the_command_line(self, image: Path) -> None:
        seen: list[str] = []

        def record(argv: list[object], **_options: object) -> run.Completed:
            seen.extend(str(a) for a in argv)
            return run.Completed(0, b"", b"")

        volumes.encrypt_image(record, image, SECRET, CHEAP, str(uuid.uuid4()))
        volumes.add_key(record, image, SECRET, b"nueva-secreta", CHEAP)
        assert not [a for a in seen if SECRET.decode() in a or "nueva-secreta" in a]


def test_plain_file_is_no_volume(runner: Runner, image: Path) -> None:
    with pytest.raises(ProgramFailed):
        volumes.uuid_of(runner, image)
    with pytest.raises(ProgramFailed):
        volumes.check_secret(runner, image, SECRET)
