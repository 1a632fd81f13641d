"""QEMU really starts: the probe tells a working CPU from none, and the driver drives."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_image.emulate.machine import NotSaid, running
from alma_image.emulate.qemu import Firmware, Pc, probe
from alma_image.release.sandbox import Sandbox
from alma_runtime.errors import AlmaError
from tests.integration.media.conftest import World, disk_image, stick_image, world

__all__ = ["disk_image", "stick_image", "world"]


def test_a_cpu_that_runs_comes_to_the_end_of_the_probe(tools: Sandbox) -> None:
    assert probe(tools, ["-accel", "tcg", "-cpu", "max"])


def test_an_accelerator_that_does_not_exist_fails_the_probe(tools: Sandbox) -> None:
    assert not probe(tools, ["-accel", "xen"])


def test_a_cpu_that_lacks_what_kernels_need_fails_the_probe(tools: Sandbox) -> None:
    # A 486 has neither SSE nor the control bit for it: it stops there, as a broken KVM does.
    assert not probe(tools, ["-accel", "tcg", "-cpu", "486"])


@pytest.mark.boot
@pytest.mark.parametrize("firmware", list(Firmware))
def test_every_firmware_starts_the_menu_from_the_stick(
    world: World, stick_image: Path, tools: Sandbox, tmp_path: Path, firmware: Firmware
) -> None:
    pc = Pc(tmp_path, firmware, stick=stick_image, memory=512)
    with running(tools, pc) as machine:
        menu = machine.expect(r"MENU OF ([0-9a-f-]{36})")
        machine.screenshot(tmp_path / "screen.png")
        assert (tmp_path / "screen.png").stat().st_size > 0
        with pytest.raises(NotSaid, match="MENU OF"):
            machine.expect("this is never said", timeout=0.5)
    assert menu[1].encode() in stick_image.read_bytes()
    assert machine.process.returncode is not None


def test_a_pc_that_cannot_start_says_why(tools: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    pc = Pc(tmp_path, Firmware.BIOS, stick=folder)
    with pytest.raises(AlmaError, match="QEMU"), running(tools, pc) as machine:
        machine.expect("never", timeout=5)
