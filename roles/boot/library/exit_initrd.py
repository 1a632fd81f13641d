#!/usr/bin/python3
"""Ansible module `exit_initrd`: the folder that systemd returns to at power-off.

It holds systemd-shutdown as `shutdown` with its loader and libraries at their own paths, so that
the root file system can be unmounted and the volumes under it closed, which takes their keys out
of the memory (systemd: «The initrd interface», section «shutdown»). The module also writes a list
of SHA-256 sums (format of sha256sum, paths without the leading slash) of the programs that the
start depends on, with their libraries.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FOLDERS = ("proc", "sys", "dev", "run", "tmp", "oldroot", "etc")
MARK = "etc/initrd-release"
LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def closure(module: AnsibleModule, program: str) -> list[str]:
    """The loader and every library that a program is linked with, as paths that programs use."""
    _, said, _ = module.run_command(["ldd", program], check_rc=True)
    return sorted(set(LIBRARY.findall(said)))


def same(source: Path, target: Path) -> bool:
    """Is the target already a copy of the source?"""
    return (
        target.is_file()
        and not target.is_symlink()
        and target.stat().st_mode & 0o777 == 0o755
        and target.read_bytes() == source.read_bytes()
    )


def lay(module: AnsibleModule, wanted: dict[Path, Path], folder: Path) -> bool:
    """Make the folder hold these copies (target → source) and nothing else."""
    kept = {folder / MARK, *wanted}
    present = {p for p in folder.rglob("*") if not p.is_dir() or p.is_symlink()}
    missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    stale = [target for target, source in wanted.items() if not same(source, target)]
    if not (missing or stale or present - kept or not (folder / MARK).exists()):
        return False
    if module.check_mode:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    for name in FOLDERS:
        (folder / name).mkdir(mode=0o755, parents=True)
    (folder / MARK).touch(mode=0o644)
    for target, source in wanted.items():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)
    return True


def write_list(module: AnsibleModule, paths: list[str], place: Path) -> bool:
    """Write the sums; the same path twice by a link is one line."""
    real = sorted({os.path.realpath(path).lstrip("/") for path in paths})
    text = "".join(
        f"{hashlib.sha256(Path('/', name).read_bytes()).hexdigest()}  {name}\n" for name in real
    )
    if place.is_file() and place.read_text(encoding="ascii") == text:
        return False
    if not module.check_mode:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        place.write_text(text, encoding="ascii")
        place.chmod(0o644)
    return True


def main() -> None:
    """Read the arguments, do it, say whether anything changed."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "shutdown": {"type": "path", "required": True},
            "checked": {"type": "list", "elements": "path", "required": True},
            "checklist": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    folder = Path(module.params["folder"])
    shutdown = module.params["shutdown"]
    wanted = {folder / name.lstrip("/"): Path(name) for name in closure(module, shutdown)}
    wanted[folder / "shutdown"] = Path(shutdown)
    programs = module.params["checked"]
    checked = programs + [name for program in programs for name in closure(module, program)]
    changed = lay(module, wanted, folder)
    changed = write_list(module, checked, Path(module.params["checklist"])) or changed
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
