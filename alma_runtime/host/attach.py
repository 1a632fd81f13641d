"""At boot: put the tree in its place, from the disk if one opens, else the keep, else RAM.

Nothing here may stop the boot: a person in front of a borrowed machine must get a prompt, and be
told where what they say will be kept. Nothing is mounted but volumes that our keys or the
person's passphrase opened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from alma_runtime import tree as trees
from alma_runtime.errors import AlmaError
from alma_runtime.host import disks
from alma_runtime.host.grow import grow, grow_keep
from alma_runtime.host.machine import DATA_VOLUME, Machine, Partition, is_mounted
from alma_runtime.i18n import _
from alma_runtime.node import DISK, KEEP, RAM, Node, read_node, write_node

FOLDER_MODE = 0o2770
FILE_MODE = 0o660
RAM_SHARE = "25%"
TRIES = 3
ANSWER_SECONDS = 180
QUIET_SECONDS = 5.0
QUIET_SECONDS_EXPECTING = 15.0
"""How long the USB bus must be quiet before we believe that no disk comes; longer when the keep
holds a disk's key, because then somebody probably plugged it in."""

Ask = Callable[[str], bytes]


def attach(machine: Machine, ask: Ask | None = None) -> Node:
    """Mount the tree, make it if it is empty, publish which node holds it."""
    present = read_node(machine.run_dir)
    if present is not None and is_mounted(machine.root):
        return present
    _report(lambda: grow_keep(machine))
    node = _from_disk(machine, ask or (lambda q: ask_on_console(machine, q)))
    if node.node != DISK:
        node = _from_keep(machine, node.reason) or _from_ram(machine, node.reason)
    write_node(machine.run_dir, node)
    return node


def ask_on_console(machine: Machine, question: str) -> bytes:
    """A passphrase from whoever sits there, by systemd's agents; empty when nobody answers."""
    done = machine.runner(
        ["systemd-ask-password", f"--timeout={ANSWER_SECONDS}", "--id=alma-disk", "-n", question],
        check=False,
    )
    return done.stdout if done.returncode == 0 else b""


def _from_disk(machine: Machine, ask: Ask) -> Node:
    keys = disks.keep_keys(machine)
    found = disks.wait_for_disks(machine, QUIET_SECONDS_EXPECTING if keys else QUIET_SECONDS)
    if not found:
        return Node(RAM, _("no disk is plugged in"))
    try:
        opened = _open_one(machine, found, keys, ask)
        if opened is None:
            return Node(RAM, _("the disk was not opened"))
        partition, secret = opened
        disks.mount_disk(machine)
    except AlmaError as error:
        _say(error)
        return Node(RAM, _("the disk cannot be used: {reason}").format(reason=_first_line(error)))
    _report(lambda: grow(machine, partition, DATA_VOLUME, secret, "data.d"))
    try:
        _prepare(machine)
    except (AlmaError, OSError) as error:
        _say(error)
        _report(lambda: disks.release_tree(machine))
        return Node(RAM, _("the disk cannot be used: {reason}").format(reason=_first_line(error)))
    others = len(found) - 1
    if others:
        return Node(DISK, _("the disk is open; {others} more left alone").format(others=others))
    return Node(DISK, _("the disk is open"))


def _open_one(
    machine: Machine, found: list[Partition], keys: list[bytes], ask: Ask
) -> tuple[Partition, bytes] | None:
    """The first disk that a key of the keep opens, else the one whose passphrase is given."""
    volumes = []
    for partition in found:
        try:
            key = disks.open_with_keys(machine, partition, keys)
        except AlmaError as error:
            _say(error)
            continue
        if key is not None:
            return partition, key
        volumes.append(partition)
    for partition in volumes:
        question = _("Passphrase of the disk {device} (empty: go on without it):").format(
            device=partition.device
        )
        for _number in range(TRIES):
            secret = ask(question)
            if not secret:
                break
            if disks.open_with_keys(machine, partition, [secret]):
                return partition, secret
            question = _("That is not it. Passphrase of the disk (empty: go on without it):")
    return None


def _from_keep(machine: Machine, reason: str) -> Node | None:
    if not is_mounted(machine.keep):
        return None
    source = machine.keep / "ALMA_RESIST"
    try:
        source.mkdir(exist_ok=True)
        machine.root.mkdir(parents=True, exist_ok=True)
        options = f"bind,{disks.MOUNT_OPTIONS}"
        machine.runner(["mount", "-o", options, source, machine.root])
        _prepare(machine)
    except (AlmaError, OSError) as error:
        _say(error)
        _report(lambda: disks.release_tree(machine))
        return None
    return Node(KEEP, reason)


def _from_ram(machine: Machine, reason: str) -> Node:
    options = (
        f"size={RAM_SHARE},mode=2770,uid={machine.owner},gid={machine.owner},{disks.MOUNT_OPTIONS}"
    )
    machine.root.mkdir(parents=True, exist_ok=True)
    machine.runner(["mount", "-t", "tmpfs", "-o", options, "alma-ram", machine.root])
    _prepare(machine)
    return Node(RAM, reason)


def _prepare(machine: Machine) -> None:
    """An empty volume becomes a tree; the folders of a tree belong to the assistant's user.

    Only the tree's own skeleton is touched: a disk full of files must not slow every boot.
    """
    root = machine.root
    inside = {part for name in trees.FOLDERS for part in (Path(name), *Path(name).parents)}
    folders = sorted(root / part for part in inside)
    for folder in folders:
        if folder.is_symlink():  # root would change what it points to
            raise AlmaError(_("{path} is a link where a folder must be").format(path=folder))
    old_mask = os.umask(0o007)
    try:
        tree = trees.init_tree(root)
    finally:
        os.umask(old_mask)
    for folder in folders:
        os.chown(folder, machine.owner, machine.owner)
        folder.chmod(FOLDER_MODE)
    os.chown(tree.version_file, machine.owner, machine.owner)
    tree.version_file.chmod(FILE_MODE)


def _report(step: Callable[[], None]) -> None:
    """Do what is worth trying; a failure is told and is not the end of the boot."""
    try:
        step()
    except (AlmaError, OSError) as error:
        _say(error)


def _say(error: Exception) -> None:
    print(f"alma host attach: {error}", file=sys.stderr, flush=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
