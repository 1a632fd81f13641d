"""One boot in a mount namespace of its own: real mounts and checks, cryptsetup's part scripted.

This machine need not have device-mapper: the volume that cryptsetup would open is a loop device
behind `<folder>/mapper/alma-data`, and the secrets it accepts are in a file.
Arguments: a folder, the loop device (or `-`), then the answers a person gives.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from alma_runtime import run
from alma_runtime.errors import ProgramFailed
from alma_runtime.host import attach, disks
from alma_runtime.host.machine import Machine, is_mounted
from alma_runtime.run import Completed


def main(folder: Path, loop: str, answers: list[str]) -> None:
    mapper = folder / "mapper"
    accepted = (folder / "secret").read_bytes() if loop != "-" else b""
    questions: list[str] = []

    def runner(
        argv: list[object], *, pass_fds: tuple[int, ...] = (), check: bool = True
    ) -> Completed:
        words = [str(a) for a in argv]
        if words[:2] == ["cryptsetup", "open"]:
            if os.pread(pass_fds[0], 4096, 0) != accepted:
                raise ProgramFailed("no key", returncode=2)
            (mapper / "alma-data").symlink_to(loop)
        elif words[:2] == ["cryptsetup", "close"]:
            (mapper / "alma-data").unlink()
        elif words[0] != "udevadm":
            return run.run(words, check=check)
        return Completed(0, b"", b"")

    def ask(question: str) -> bytes:
        questions.append(question)
        return answers.pop(0).encode() if answers else b""

    attach.QUIET_SECONDS = attach.QUIET_SECONDS_EXPECTING = 0.0
    machine = Machine(
        root=folder / "root",
        keep=folder / "keep",
        run_dir=folder / "run",
        runner=runner,
        sysfs=folder / "sys",
        mapper=mapper,
        command_line=Path("/proc/cmdline"),
    )
    if (folder / "keep").is_dir():
        run.run(["mount", "--bind", machine.keep, machine.keep])
    node = attach.attach(machine, ask)
    info = (machine.root / "logs").stat()
    (machine.root / "logs/written").write_text("x")
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    options = [m.split()[3] for m in mounts.splitlines() if m.split()[1] == str(machine.root)]
    again = attach.attach(machine, ask)
    kind = run.run(["stat", "-f", "-c", "%T", machine.root]).text
    disks.release_tree(machine)
    said = {
        "node": node.node,
        "reason": node.reason,
        "again": again == node,
        "owner": info.st_uid,
        "mode": oct(info.st_mode & 0o7777),
        "options": options,
        "kind": kind,
        "questions": len(questions),
        "left": is_mounted(machine.root) or (mapper / "alma-data").is_symlink(),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
