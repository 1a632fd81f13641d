"""The commands on a real block device, where this machine lends a loop device.

What matters of flashing is proved without one in tests/unit/media/test_flash.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from alma_runtime.errors import ProgramFailed
from alma_runtime.run import run
from tests.integration.media.conftest import World

SIZE = 300 << 20


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A loop device full of somebody's bytes."""
    if os.geteuid() != 0:
        pytest.skip("a loop device needs root")
    image = tmp_path / "backing"
    image.write_bytes(b"OLD!" * (SIZE // 4))
    try:
        name = run(["losetup", "--find", "--show", image]).text
    except ProgramFailed as exc:
        pytest.skip(f"no loop device here: {exc}")
    yield Path(name)
    run(["losetup", "--detach", name])


def test_a_stick_is_flashed_verified_and_flashed_again(world: World, device: Path) -> None:
    release = ("--release", world.release)
    world.alma("stick", "create", device, *release, "--erase", device.name)
    world.alma("stick", "verify", device, "--system")
    world.alma("stick", "create", device, *release, "--erase", device.name)
    world.alma("stick", "verify", device)


def test_a_disk_fills_its_device(world: World, device: Path) -> None:
    world.alma("disk", "create", device, "--profile", "nano", "--erase", device.name)
    done = world.alma("disk", "verify", device, "--unlock", "--json")
    assert f'"size": {SIZE - (2 << 20)}' in done.stdout


def test_a_device_that_is_not_removable_is_left_alone(world: World, device: Path) -> None:
    before = first_bytes(device)
    done = world.alma("disk", "create", device, "--profile", "nano", status=1)
    assert str(device) in str(done.exception)
    assert first_bytes(device) == before


def test_a_device_that_is_too_small_is_refused_with_both_numbers(
    world: World, tmp_path: Path, device: Path
) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(20 << 20))
    name = run(["losetup", "--find", "--show", small]).text
    try:
        arguments = ("disk", "create", name, "--profile", "nano", "--erase", Path(name).name)
        done = world.alma(*arguments, status=1)
    finally:
        run(["losetup", "--detach", name])
    assert "20 MiB" in str(done.exception)
    assert "162 MiB" in str(done.exception)


def first_bytes(device: Path) -> bytes:
    with device.open("rb") as stream:
        return stream.read(1 << 20)
