"""The command line of QEMU: a PC with a stick and a disk in its USB ports, and no network.

QEMU 10 with two emulated CPUs is stable with `tcg,thread=multi` and `-cpu max`; KVM is used only
after a virtual CPU was really seen to run, because a device file alone proves nothing.
"""

from __future__ import annotations

import enum
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alma_image.release.sandbox import Sandbox
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.run import Argument

PROGRAM = "qemu-system-x86_64"
OVMF = Path("/usr/share/OVMF")
"""Where the firmware lies inside the tools tree."""
MEMORY_MIB = 2048
CPUS = 2
PROBE_SECONDS = 5
KVM = Path("/dev/kvm")
VNC_BASE = 5900
VNC_PORT = 5982


class Firmware(enum.Enum):
    """How the PC boots."""

    SECURE_BOOT = "secure-boot"
    UEFI = "uefi"
    BIOS = "bios"


@dataclass(frozen=True)
class Pc:
    """A borrowed PC: firmware, what is plugged in, memory in MiB.

    Args:
        folder: for sockets and the firmware's variables; one PC at a time.
        graphic: the screen is shown to a VNC viewer on this machine.
        kvm: as `kvm_works` found.
    """

    folder: Path
    firmware: Firmware = Firmware.SECURE_BOOT
    stick: Path | None = None
    disk: Path | None = None
    memory: int = MEMORY_MIB
    graphic: bool = False
    kvm: bool = False

    @property
    def qmp_socket(self) -> Path:
        return self.folder / "qmp"

    @property
    def serial_socket(self) -> Path:
        return self.folder / "serial"

    @property
    def variables(self) -> Path:
        return self.folder / "efivars.fd"

    @property
    def binds(self) -> list[Path]:
        """Folders that the sandbox must show to QEMU."""
        images = (image.absolute() for image in (self.stick, self.disk) if image)
        return [self.folder, *images]


def command_line(pc: Pc, *, serial: str) -> list[Argument]:
    """The program and its arguments; `serial` is a QEMU character device (`stdio`, `unix:…`)."""
    secure = pc.firmware is Firmware.SECURE_BOOT
    accel = ["-accel", "kvm", "-cpu", "host"] if pc.kvm else ["-accel", "tcg,thread=multi"]
    if not pc.kvm:
        accel += ["-cpu", "max"]
    argv: list[Argument] = [PROGRAM, "-nodefaults", "-no-user-config"]
    argv += ["-machine", "q35,smm=on" if secure else "q35,smm=off", *accel]
    argv += ["-smp", str(CPUS), "-m", str(pc.memory), "-nic", "none", "-no-reboot"]
    argv += ["-rtc", "base=utc", "-device", "VGA", "-serial", serial]
    argv += ["-qmp", f"unix:{pc.qmp_socket},server=on,wait=off"]
    argv += ["-display", f"vnc=127.0.0.1:{VNC_PORT - VNC_BASE}" if pc.graphic else "none"]
    argv += _firmware(pc)
    argv += ["-device", "qemu-xhci,id=usb", "-device", "usb-kbd,bus=usb.0"]
    for number, (name, image) in enumerate((("stick", pc.stick), ("disk", pc.disk))):
        if image is not None:
            argv += [
                "-drive",
                f"if=none,id={name},format=raw,cache=writeback,file={_escaped(image.absolute())}",
                "-device",
                f"usb-storage,bus=usb.0,id=usb-{name},drive={name},removable=on,"
                f"bootindex={number},serial=ALMA-{name.upper()}",
            ]
    return argv


def _firmware(pc: Pc) -> list[Argument]:
    if pc.firmware is Firmware.BIOS:
        return []
    secure = pc.firmware is Firmware.SECURE_BOOT
    code = OVMF / ("OVMF_CODE_4M.ms.fd" if secure else "OVMF_CODE_4M.fd")
    argv: list[Argument] = []
    if secure:
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    argv += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
    argv += ["-drive", f"if=pflash,unit=1,format=raw,file={_escaped(pc.variables)}"]
    return argv


def fresh_variables(sandbox: Sandbox, pc: Pc) -> None:
    """A PC's firmware as it comes from the shop, with Microsoft's keys if Secure Boot is on."""
    if pc.firmware is Firmware.BIOS:
        return
    ours = "OVMF_VARS_4M.ms.fd" if pc.firmware is Firmware.SECURE_BOOT else "OVMF_VARS_4M.fd"
    source = sandbox.tree / OVMF.relative_to("/") / ours
    if not source.is_file():
        raise AlmaError(_("{path} is missing from the tools tree").format(path=source))
    shutil.copyfile(source, pc.variables)


def kvm_works(sandbox: Sandbox) -> bool:
    """Did a virtual CPU really run under KVM? Tried with what firmware and kernels need.

    Kernels have been seen whose KVM exists, runs simple code, and fails at the first x87 or SSE
    instruction or has no system management mode.
    """
    return os.access(KVM, os.R_OK | os.W_OK) and probe(sandbox, ["-accel", "kvm", "-cpu", "host"])


def probe(sandbox: Sandbox, accel: list[str]) -> bool:
    """Does `probe_rom` come to its end with this accelerator?"""
    with tempfile.TemporaryDirectory(prefix="alma-probe.") as name:
        folder = Path(name)
        rom = folder / "probe.rom"
        rom.write_bytes(probe_rom())
        command = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-machine", "q35,smm=on", *accel, "-m", "64", "-bios", str(rom)]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        limited = ["timeout", "--kill-after=2", str(PROBE_SECONDS), *command]
        return sandbox.run(limited, binds=[folder], check=False).returncode == PROBE_STATUS


PROBE_VALUE = 0x15
PROBE_STATUS = PROBE_VALUE << 1 | 1
"""isa-debug-exit ends QEMU with (value << 1) | 1."""
ROM_BYTES = 0x10000
RESET_VECTOR = 0xFFF0
PROBE_CODE = bytes.fromhex(
    "9bdbe3"  # fwait; fninit
    "0f20e0"  # mov eax, cr4
    "660d00020000"  # or eax, OSFXSR
    "0f22e0"  # mov cr4, eax
    "0f57c0"  # xorps xmm0, xmm0
) + bytes([0xB0, PROBE_VALUE, 0xE6, 0xF4, 0xF4])  # mov al, value; out 0xf4, al; hlt


def probe_rom() -> bytes:
    """64 KiB of ROM: from the reset vector to `PROBE_CODE`, which writes to the exit port."""
    start = RESET_VECTOR - 0x100
    jump = b"\xe9" + ((start - RESET_VECTOR - 3) & 0xFFFF).to_bytes(2, "little")
    rom = bytearray(b"\xf4" * ROM_BYTES)
    rom[start : start + len(PROBE_CODE)] = PROBE_CODE
    rom[RESET_VECTOR : RESET_VECTOR + len(jump)] = jump
    return bytes(rom)


def _escaped(path: Path) -> str:
    """A file name inside a QEMU option: commas are doubled."""
    return str(path).replace(",", ",,")
