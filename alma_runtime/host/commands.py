"""Commands of this room: `alma host …` and, for any Linux with the runtime, `alma disk …`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import click

from alma_runtime import run, volumes
from alma_runtime.errors import AlmaError
from alma_runtime.host import disks
from alma_runtime.host.attach import attach
from alma_runtime.host.grow import grow
from alma_runtime.host.machine import (
    DATA_LABEL,
    DATA_VOLUME,
    is_mounted,
    partitions_named,
    this_machine,
)
from alma_runtime.i18n import _
from alma_runtime.node import DISK, read_node
from alma_runtime.passphrase import read_passphrase
from alma_runtime.tree import init_tree


@click.group()
def host() -> None:
    """The machine around us."""


@host.command("attach")
@click.pass_obj
def attach_command(root: Path) -> None:
    """At boot: mount the tree from the disk, the stick or RAM (needs root)."""
    _need_root("alma host attach")
    node = attach(this_machine(root))
    click.echo(f"{node.node}: {node.reason}")


@host.command("detach")
@click.pass_obj
def detach_command(root: Path) -> None:
    """At power-off: unmount the tree and close the disk (needs root)."""
    _need_root("alma host detach")
    disks.release_tree(this_machine(root))


@host.command("status")
@click.option("--json", "as_json", is_flag=True, help=_("for programs"))
@click.pass_obj
def status_command(root: Path, as_json: bool) -> None:
    """Where the tree is and how much room it has."""
    _show(status(root), as_json)


@click.group()
def disk() -> None:
    """The encrypted disk."""


@disk.command("open")
@click.argument("device", required=False, type=click.Path(path_type=Path, exists=True))
@click.pass_obj
def open_command(root: Path, device: Path | None) -> None:
    """Open the disk DEVICE with its passphrase and mount its tree (needs root)."""
    _need_root("alma disk open")
    machine = this_machine(root)
    if (machine.mapper / DATA_VOLUME).exists() or is_mounted(root):
        raise AlmaError(_("a disk is open already; close it first with «alma disk close»"))
    chosen = disks.data_partition(machine, device)
    secret = read_passphrase(_("Passphrase of the disk {device}: ").format(device=chosen))
    volumes.open_volume(run.run, chosen, DATA_VOLUME, secret)
    disks.mount_disk(machine)
    partition = next((p for p in partitions_named(machine, DATA_LABEL) if p.device == chosen), None)
    if partition is not None:
        try:
            grow(machine, partition, DATA_VOLUME, secret, "data.d")
        except AlmaError as error:  # its files can be used all the same
            click.echo(_("the disk did not grow: {reason}").format(reason=error), err=True)
    init_tree(root)
    click.echo(_("the disk is open at {path}").format(path=root))


@disk.command("close")
@click.pass_obj
def close_command(root: Path) -> None:
    """Unmount the disk and forget its key (needs root)."""
    _need_root("alma disk close")
    machine = this_machine(root)
    if not (machine.mapper / DATA_VOLUME).exists():
        raise AlmaError(_("no disk is open"))
    disks.release_tree(machine)
    click.echo(_("the disk is closed and may be unplugged"))


@disk.command("status")
@click.option("--json", "as_json", is_flag=True, help=_("for programs"))
@click.pass_obj
def disk_status_command(root: Path, as_json: bool) -> None:
    """Which disks are plugged in, and whether one is open."""
    _show(status(root), as_json)


def status(root: Path) -> dict[str, object]:
    """What `status --json` prints; sizes in bytes."""
    machine = this_machine(root)
    node = read_node(machine.run_dir)
    opened = (machine.mapper / DATA_VOLUME).exists()
    there = root.is_dir()
    usage = shutil.disk_usage(root) if there else None
    return {
        "node": node.node if node else (DISK if opened else None),
        "reason": node.reason if node else None,
        "root": str(root),
        "mounted": is_mounted(root),
        "disk_open": opened,
        "disks": [str(p.device) for p in partitions_named(machine, DATA_LABEL)],
        "size": usage.total if usage else None,
        "free": usage.free if usage else None,
    }


def _show(said: dict[str, object], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    node = said["node"] or "-"
    click.echo(_("node: {node} {reason}").format(node=node, reason=said["reason"] or "").rstrip())
    click.echo(_("tree: {root}").format(root=said["root"]))
    if isinstance(free := said["free"], int):
        click.echo(_("free: {mib} MiB").format(mib=free >> 20))
    found = said["disks"]
    names = ", ".join(found) if isinstance(found, list) and found else _("none")
    click.echo(_("ALMA disks plugged in: {names}").format(names=names))
    click.echo(_("open") if said["disk_open"] else _("no disk is open"))


def _need_root(command: str) -> None:
    if os.geteuid() != 0:
        raise AlmaError(_("this needs root: «sudo {command}»").format(command=command))


COMMANDS: list[click.Command] = [host, disk]
