"""The virtual PC's command line: no network, the firmware asked for, odd file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_image.emulate.machine import _plain
from alma_image.emulate.qemu import Firmware, Pc, command_line


def words(**changes: object) -> list[str]:
    pc = Pc(Path("/pc"), **changes)  # type: ignore[arg-type]
    return [str(word) for word in command_line(pc, serial="stdio")]


@pytest.mark.parametrize("firmware", list(Firmware))
def test_a_pc_never_has_a_network(firmware: Firmware) -> None:
    argv = words(firmware=firmware)
    assert argv[argv.index("-nic") + 1] == "none"
    assert not any("netdev" in word for word in argv)


def test_secure_boot_has_its_own_firmware_and_protected_variables() -> None:
    argv = words(firmware=Firmware.SECURE_BOOT)
    assert any("OVMF_CODE_4M.ms.fd" in word for word in argv)
    assert "driver=cfi.pflash01,property=secure,value=on" in argv
    assert "q35,smm=on" in argv


def test_bios_has_no_uefi_firmware() -> None:
    assert not any("pflash" in word for word in words(firmware=Firmware.BIOS))


def test_emulation_uses_what_was_seen_to_be_stable() -> None:
    argv = words()
    assert argv[argv.index("-accel") + 1] == "tcg,thread=multi"
    assert argv[argv.index("-cpu") + 1] == "max"
    assert "kvm" in words(kvm=True)


def test_a_comma_in_a_file_name_is_no_option() -> None:
    drive = next(w for w in words(stick=Path("/a,b.img")) if w.startswith("if=none"))
    assert drive.endswith("file=/a,,b.img")


def test_what_lies_in_no_port_is_not_mentioned() -> None:
    assert not any("usb-storage" in word for word in words())
    assert sum("usb-storage" in w for w in words(stick=Path("/s"), disk=Path("/d"))) == 2


def test_text_cut_anywhere_never_shows_half_a_character_or_half_an_escape() -> None:
    raw = "\x1b[1mtú> \x1b[0m¿qué?\r\n".encode()
    whole = _plain(raw)
    assert whole == "tú> ¿qué?\n"
    for end in range(len(raw)):
        assert whole.startswith(_plain(raw[:end]))
