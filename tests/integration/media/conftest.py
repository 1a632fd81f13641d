"""A tiny release with the real boot files of Debian, and the media made from it by the commands."""

from __future__ import annotations

import functools
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alma_image.profile import read_profile
from alma_image.release.manifest import manifest_text, sign_release
from alma_image.release.sandbox import Sandbox
from alma_image.release.signing import load_or_create_key
from alma_image.release.system_image import Verity
from alma_runtime.cli import gather
from alma_runtime.volumes import Runner

SYSTEM_BYTES = 3 << 20
PASSPHRASE = "una frase de prueba"
GRUB_MODULES = ("biosdisk", "part_gpt", "fat", "normal", "echo", "configfile", "serial", "sleep")


@dataclass(frozen=True)
class World:
    """A person's own folder: their signing key, their passphrase file, a release."""

    folder: Path
    release: Path
    tools: Sandbox

    @property
    def runner(self) -> Runner:
        """The tools tree's programs, with this folder visible."""
        return functools.partial(self.tools.run, binds=[self.folder])

    @property
    def public_key(self) -> bytes:
        return (self.folder / "config" / "release.pub").read_bytes()

    def alma(self, *arguments: str | Path, status: int = 0) -> Result:
        """The real command line; fails the test unless it ends with that status."""
        environment = {
            "ALMA_CONFIG_DIR": str(self.folder / "config"),
            "ALMA_PASSPHRASE_FILE": str(self.folder / "passphrase"),
        }
        words = [str(a) for a in arguments]
        result = CliRunner().invoke(gather(), words, env=environment)
        ended = getattr(result.exception, "status", result.exit_code)
        assert ended == status, (result.output, result.exception)
        return result


def make_release(folder: Path, config: Path, tools: Sandbox) -> None:
    """A release whose system is noise, and whose GRUB is real."""
    noise = random.Random(8820)  # noqa: S311 (a fixed content, not a secret)
    esp, bios = folder / "esp", folder / "bios"
    for path in (esp / "EFI/BOOT", esp / "EFI/debian", esp / "alma", bios):
        path.mkdir(parents=True)
    (folder / "system.img").write_bytes(noise.randbytes(SYSTEM_BYTES))
    tree = tools.tree
    shutil.copy(tree / "usr/lib/shim/shimx64.efi.signed", esp / "EFI/BOOT/BOOTX64.EFI")
    signed = tree / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    shutil.copy(signed, esp / "EFI/BOOT/grubx64.efi")
    (esp / "EFI/debian/grub.cfg").write_text(
        "serial --unit=0\nterminal_output serial\nsource /alma/stick.cfg\n"
        'echo "MENU OF ${alma_sys}"\nsleep 600\n'
    )
    (esp / "alma/vmlinuz").write_bytes(noise.randbytes(100_000))
    (esp / "alma/initrd.img").write_bytes(noise.randbytes(200_001))
    shutil.copy(tree / "usr/lib/grub/i386-pc/boot.img", bios / "boot.img")
    prefix = "(,gpt2)/EFI/debian"
    tools.run(
        ["grub-mkimage", "-O", "i386-pc", "-p", prefix, "-o", bios / "core.img", *GRUB_MODULES],
        binds=[folder],
    )
    profile = replace(read_profile("nano"), esp_mib=48, sys_slack_mib=1, kdf_memory_kib=1024)
    verity = Verity("ab" * 32, SYSTEM_BYTES - 4096, SYSTEM_BYTES)
    text = manifest_text("0.0.1", 1_760_000_000, profile, folder, verity, {"packages": []})
    sign_release(folder, text, load_or_create_key(config))


@pytest.fixture(scope="session")
def world(tools: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A folder with everything that the commands need."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    release = folder / "release"
    make_release(release, folder / "config", tools)
    return World(folder, release, tools)


@pytest.fixture(scope="session")
def disk_image(world: World) -> Path:
    """A disk, made by the command; only to be read or copied."""
    path = world.folder / "disk.img"
    world.alma("disk", "create", path, "--profile", "nano")
    return path


@pytest.fixture(scope="session")
def stick_image(world: World, disk_image: Path) -> Path:
    """A stick that knows the disk's key; only to be read or copied."""
    path = world.folder / "stick.img"
    release = ("--release", world.release)
    world.alma("stick", "create", path, *release, "--disk-key-from", disk_image)
    return path


@pytest.fixture
def copy_of_stick(stick_image: Path, tmp_path: Path) -> Path:
    """A stick to be damaged."""
    return Path(shutil.copy(stick_image, tmp_path / "stick.img"))
