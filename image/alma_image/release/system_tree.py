"""The system tree: the base with the roles applied, and the kernel and initrd that go with it.

The roles are applied by ansible-core through a connection into the tree; dracut runs inside it.
"""

from __future__ import annotations

import json
from pathlib import Path

from alma_image.profile import Profile
from alma_image.release.keyboards import KEYBOARDS, read_keyboards
from alma_image.release.lock import SystemLock
from alma_image.release.sandbox import Sandbox
from alma_image.release.stages import Stage, StageCache
from alma_image.source import IMAGE, ROLES, digest_of
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.i18n import _
from alma_runtime.run import Completed

PLAYBOOK = IMAGE / "appliance.yml"
ANSIBLE = IMAGE / "ansible"
INVENTORY = IMAGE / "inventory.yml"
KEYMAPS = "usr/share/keymaps/alma"


def deterministic_tar(sandbox: Sandbox, tree: Path, archive: Path, epoch: int) -> None:
    """A tree as a tar that depends on nothing but its content."""
    sandbox.run(
        ["tar", "-c", "-f", archive, "-C", tree, "--sort=name", "--numeric-owner",
         "--format=pax", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
         f"--mtime=@{epoch}", "--clamp-mtime",
         "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./run/*",
         "--exclude=./tmp/*", "."],
        binds=[tree, archive.parent],
    )  # fmt: skip


def apply_roles(sandbox: Sandbox, tree: Path, profile: Profile) -> Completed:
    """Apply the playbook to a tree; the second time it changes nothing.

    Raises:
        AlmaError: a task failed; the message holds what Ansible said of it.
    """
    try:
        return sandbox.run(
            ["ansible-playbook", "-i", INVENTORY, PLAYBOOK,
             "-e", json.dumps({"tree": str(tree), "profile": profile.name})],
            binds=[tree],
            ro_binds=[IMAGE, ROLES],
            into=tree,
            env={
                "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
                "ANSIBLE_HOME": "/tmp/ansible",  # noqa: S108 (the sandbox's own)
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
        )  # fmt: skip
    except ProgramFailed as exc:
        raise AlmaError(_("the roles could not be applied:\n{words}").format(words=exc)) from exc


def make_keymaps(sandbox: Sandbox, tree: Path) -> None:
    """Console keymaps for the menu's keyboards, from the layouts of X."""
    folder = tree / KEYMAPS
    sandbox.run(["mkdir", "-p", folder], binds=[tree])
    for keymap, layout, variant in sorted(
        {(k.keymap, k.layout, k.variant) for k in read_keyboards()}
    ):
        text = sandbox.run(["ckbcomp", "-layout", layout, "-variant", variant]).stdout
        sandbox.run(["tee", folder / f"{keymap}.map"], stdin=text, binds=[tree])


def make_initrd(sandbox: Sandbox, tree: Path, epoch: int) -> str:
    """Run dracut inside the tree for its one kernel; returns the kernel's version."""
    listing = sandbox.run(["ls", tree / "usr/lib/modules"], ro_binds=[tree]).text.split()
    if len(listing) != 1:
        raise AlmaError(
            _("the system must have exactly one kernel, it has: {found}").format(
                found=", ".join(listing) or "-"
            )
        )
    kernel = listing[0]
    sandbox.run(
        ["chroot", tree, "dracut", "--force", "--reproducible", "--no-hostonly", "--kver", kernel,
         "/boot/initrd.img"],
        binds=[tree], into=tree, env={"SOURCE_DATE_EPOCH": str(epoch)},
    )  # fmt: skip
    return kernel


def build_system_tree(
    cache: StageCache,
    lock: SystemLock,
    profile: Profile,
    tools: Stage,
    sandbox: Sandbox,
    base: Stage,
) -> Stage:
    """Stage `tree`: `tree.tar`, `vmlinuz`, `initrd.img`."""

    def make(result: Path) -> None:
        with cache.workspace() as work:
            tree = work / "tree"
            tree.mkdir()
            unpack_tree(sandbox, base.folder / "base.tar", tree)
            make_keymaps(sandbox, tree)
            apply_roles(sandbox, tree, profile)
            kernel = make_initrd(sandbox, tree, lock.epoch)
            for source, name in ((f"vmlinuz-{kernel}", "vmlinuz"), ("initrd.img", "initrd.img")):
                content = sandbox.run(["cat", tree / "boot" / source], ro_binds=[tree]).stdout
                (result / name).write_bytes(content)
            sandbox.run(["rm", "-rf", tree / "boot"], binds=[tree])
            sandbox.run(["mkdir", "-m", "755", tree / "boot"], binds=[tree])
            deterministic_tar(sandbox, tree, result / "tree.tar", lock.epoch)

    roles = digest_of([ROLES, PLAYBOOK, INVENTORY, ANSIBLE, KEYBOARDS, Path(__file__)])
    inputs = {"base": base.key, "roles": roles, "tools": tools.key, "profile": profile.name}
    return cache.stage(f"tree-{profile.name}", inputs, make)


def unpack_tree(sandbox: Sandbox, archive: Path, tree: Path) -> None:
    """Unpack a tree's tar with its owners."""
    sandbox.run(["tar", "-x", "-p", "--numeric-owner", "-f", archive, "-C", tree],
                binds=[tree], ro_binds=[archive])  # fmt: skip
