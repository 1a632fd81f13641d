"""`alma boot`: try a stick and a disk in QEMU, by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from alma_image.emulate.qemu import (
    MEMORY_MIB,
    VNC_PORT,
    Firmware,
    Pc,
    command_line,
    fresh_variables,
    kvm_works,
)
from alma_image.release.build import tools_sandbox
from alma_image.source import BUILD
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

STICK = BUILD / "stick.img"
DISK = BUILD / "disk.img"


@click.command()
@click.option("--stick", type=click.Path(path_type=Path), help=_("default: build/stick.img"))
@click.option("--disk", type=click.Path(path_type=Path), help=_("default: build/disk.img if there"))
@click.option("--no-disk", is_flag=True, help=_("leave the disk out"))
@click.option("--uefi", "firmware", flag_value="secure-boot", default=True,
              help=_("UEFI with Secure Boot (default)"))  # fmt: skip
@click.option("--no-secure-boot", "firmware", flag_value="uefi", help=_("UEFI without Secure Boot"))
@click.option("--bios", "firmware", flag_value="bios", help=_("legacy BIOS"))
@click.option("--graphic", is_flag=True, help=_("show the screen to a VNC viewer"))
@click.option("--memory", type=click.IntRange(min=256), default=MEMORY_MIB, help=_("MiB of RAM"))
def boot(
    stick: Path | None,
    disk: Path | None,
    no_disk: bool,
    firmware: str,
    graphic: bool,
    memory: int,
) -> None:
    """Boot a stick (and a disk) in a virtual PC; what is done in it stays on them."""
    stick = _image(stick, STICK, "alma stick create")
    if no_disk:
        disk = None
    elif disk is not None or DISK.exists():
        disk = _image(disk, DISK, "alma disk create")
    sandbox = tools_sandbox(lambda line: click.echo(line, err=True))
    kvm = kvm_works(sandbox)
    with tempfile.TemporaryDirectory(prefix="alma-pc.") as name:
        pc = Pc(Path(name), Firmware(firmware), stick, disk, memory, graphic, kvm)
        fresh_variables(sandbox, pc)
        _explain(pc)
        with sandbox.spawn(
            command_line(pc, serial="mon:stdio"), binds=pc.binds, stdin=None, network=graphic
        ) as process:
            status = process.wait()
    if status:
        raise AlmaError(_("QEMU ended with status {status}").format(status=status))


def _explain(pc: Pc) -> None:
    speed = _("KVM") if pc.kvm else _("emulation, slowly: KVM does not work here")
    click.echo(
        _(
            "A virtual PC ({firmware}, {memory} MiB, {speed}). Ctrl-A then X switches it off."
        ).format(firmware=pc.firmware.value, memory=pc.memory, speed=speed),
        err=True,
    )
    if pc.graphic:
        text = _("Its screen: connect a VNC viewer to 127.0.0.1:{port}").format(port=VNC_PORT)
    else:
        text = _("If nothing appears below, this stick uses the screen: try --graphic.")
    click.echo(text, err=True)


def _image(given: Path | None, default: Path, maker: str) -> Path:
    path = given or default
    if not path.exists():
        raise AlmaError(
            _("{path} is not there; make it with «{command}»").format(path=path, command=maker)
        )
    return path


COMMANDS: list[click.Command] = [boot]
