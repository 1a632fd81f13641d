"""Seconds from power-on to the kernel, the passphrase prompt and the chat prompt, in QEMU."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from alma_image.emulate.machine import running
from alma_image.emulate.qemu import Firmware, Pc, kvm_works
from alma_image.release.build import tools_sandbox
from alma_image.source import BUILD
from alma_runtime.config import settings
from alma_runtime.run import run

PASSPHRASE = "medida 8820"
PROGRAM = "from alma_runtime.cli import main; main()"
STEPS = {
    "kernel": "ALMA …",
    "passphrase prompt": r"press TAB for no echo\)",
    "chat prompt": "(tú|you)> ",
    "answer": r"alma> \S",
}
TYPED = {"passphrase prompt": PASSPHRASE, "chat prompt": "hola"}


def alma(*arguments: str | Path, passphrase: Path) -> None:
    """Run the program as a person would, with the passphrase from a file."""
    run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={"ALMA_PASSPHRASE_FILE": str(passphrase), "ALMA_CACHE_DIR": str(settings().cache_dir)},
    )


def main() -> None:
    """Build (from the cache), make media, boot once with each firmware."""
    out = BUILD / "release"
    sandbox = tools_sandbox(print)
    kvm = kvm_works(sandbox)
    print("KVM" if kvm else "emulation (KVM does not work here)")
    with tempfile.TemporaryDirectory(dir=settings().cache_dir) as name:
        work = Path(name)
        secret = work / "passphrase"
        secret.write_text(PASSPHRASE, encoding="utf-8")
        stick, disk = work / "stick.img", work / "disk.img"
        alma("build", "--profile", "nano", "--out", out, passphrase=secret)
        started = time.monotonic()
        alma("disk", "create", disk, "--profile", "nano", passphrase=secret)
        alma("stick", "create", stick, "--disk-key-from", disk, passphrase=secret)
        print(f"making stick and disk: {time.monotonic() - started:.1f} s")
        for firmware in Firmware:
            pc = Pc(work, firmware=firmware, stick=stick, disk=disk, kvm=kvm)
            started = time.monotonic()
            print(f"{firmware.value:<12}", end="", flush=True)
            with running(sandbox, pc) as machine:
                for step, pattern in STEPS.items():
                    machine.expect(pattern)
                    print(f"  {step} {time.monotonic() - started:.0f} s", end="", flush=True)
                    if step in TYPED:
                        machine.send_line(TYPED[step])
            print()
