"""Media made once by the real commands; each test boots copies of them.

pytest tests/boot            all of it: some minutes a boot where KVM does not work
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from alma_image.emulate.machine import Machine, running
from alma_image.emulate.qemu import Firmware, Pc, kvm_works
from alma_image.media.disk import data_partition
from alma_image.media.luks import HEADER_BYTES, open_payload
from alma_image.media.target import BLOCK, open_target
from alma_image.release.sandbox import Sandbox
from alma_runtime.cli import gather
from alma_runtime.run import run
from alma_runtime.volumes import Runner
from tests.conftest import Built

PASSPHRASE = "correcta 8820"
QUESTION_FOR_PASSPHRASE = r"press TAB for no echo\)"
PROMPT = r"(tú|you)> "
ANSWER = r"alma> \S"


@dataclass(frozen=True)
class Media:
    """A stick and a disk that it opens, as files."""

    folder: Path
    stick: Path
    disk: Path

    def copy_to(self, folder: Path) -> Media:
        """Copies for one test: shared blocks where the file system can, holes in any case."""
        fresh = Media(folder, folder / "stick.img", folder / "disk.img")
        for source, target in ((self.stick, fresh.stick), (self.disk, fresh.disk)):
            run(["cp", "--reflink=auto", "--sparse=always", source, target])
        return fresh


@dataclass(frozen=True)
class Bench:
    """Where the PCs of a test stand."""

    tools: Sandbox
    folder: Path
    kvm: bool

    @contextlib.contextmanager
    def pc(self, **what: Any) -> Iterator[Machine]:
        """A PC that is switched on."""
        with running(self.tools, Pc(self.folder, kvm=self.kvm, **what)) as machine:
            yield machine

    @property
    def runner(self) -> Runner:
        return functools.partial(self.tools.run, binds=[self.folder])

    def inside(self, disk: Path) -> Path:
        """The disk's file system, decrypted in userspace into a sparse image."""
        plain = self.folder / "plain.img"
        header = self.folder / "header"
        with open_target(disk) as target, plain.open("wb") as stream:
            place = data_partition(target, str(disk))
            header.write_bytes(target.read(place.start, HEADER_BYTES))
            secret = PASSPHRASE.encode()
            payload = open_payload(self.runner, header, secret, target, place.start, place.size)
            for offset in range(0, payload.size, BLOCK):
                stream.write(payload.read(offset, min(BLOCK, payload.size - offset)))
        return plain

    def day_logs(self, plain: Path) -> str:
        """All day logs of a decrypted disk, one after the other."""
        names = self.runner(["debugfs", "-R", "ls -p /logs", plain]).text
        found = [line.split("/")[5] for line in names.splitlines() if line.endswith("/")]
        found = [n for n in found if n.endswith(".md")]
        read = (self.runner(["debugfs", "-R", f"cat /logs/{n}", plain]) for n in sorted(found))
        return "".join(done.text for done in read)


def unlock(machine: Machine) -> None:
    """Type the passphrase at the only question there is."""
    machine.expect(QUESTION_FOR_PASSPHRASE)
    machine.send_line(PASSPHRASE)


@pytest.fixture(scope="session")
def media(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Media:
    """The stick and the disk; never booted themselves."""
    folder = tmp_path_factory.mktemp("boot")
    secret = folder / "passphrase"
    secret.write_text(PASSPHRASE, encoding="utf-8")
    made = Media(folder, folder / "stick.img", folder / "disk.img")
    release = ["--release", str(built.release.folder)]
    for arguments in (
        ["disk", "create", str(made.disk), "--profile", "nano"],
        ["stick", "create", str(made.stick), "--disk-key-from", str(made.disk), *release],
    ):
        environment = {"ALMA_PASSPHRASE_FILE": str(secret)}
        done = CliRunner().invoke(
            gather(), arguments, env=environment, catch_exceptions=False, standalone_mode=False
        )
        assert done.exit_code == 0, done.output
    return made


@pytest.fixture(scope="session")
def kvm(tools: Sandbox) -> bool:
    """Does KVM work here?"""
    return kvm_works(tools)


@pytest.fixture
def bench(tools: Sandbox, tmp_path: Path, kvm: bool) -> Bench:
    """A folder for this test's PC."""
    return Bench(tools, tmp_path, kvm)


@pytest.fixture
def copies(media: Media, tmp_path: Path) -> Iterator[Media]:
    """A stick and a disk of this test's own, removed afterwards: they are large."""
    made = media.copy_to(tmp_path)
    yield made
    for path in (made.stick, made.disk, tmp_path / "plain.img"):
        path.unlink(missing_ok=True)


__all__ = ["ANSWER", "PASSPHRASE", "PROMPT", "Bench", "Firmware", "Media", "unlock"]
