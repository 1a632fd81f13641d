"""Programs of a Debian tree, run in namespaces of their own (bubblewrap).

The root is empty but for the tree's `/usr` and `/etc` (read-only) and the folders named by the
caller, which keep their paths. No network unless asked for, and every process inside dies with
ours, so a Ctrl-C leaves neither a mount nor a process. An ordinary user becomes root of a user
namespace that holds their subordinate ids (/etc/subuid), so files may belong to anybody inside.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO

from alma_runtime import run as programs
from alma_runtime.config import network_environment
from alma_runtime.run import Completed

Argument = str | PathLike[str]
INSIDE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def as_root(argv: Sequence[Argument]) -> list[Argument]:
    """The command, run as root of a user namespace when we are not root ourselves."""
    if os.geteuid() == 0:
        return list(argv)
    return ["unshare", "--user", "--map-root-user", "--map-auto", "--", *argv]


@dataclass(frozen=True)
class Sandbox:
    """A way to run programs of one Debian tree."""

    tree: Path

    def command(
        self,
        argv: Sequence[Argument],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
        into: Path | None = None,
        cwd: Path | None = None,
        network: bool = False,
    ) -> list[Argument]:
        """The complete command line that runs `argv` inside.

        Args:
            into: another tree that programs will chroot into: it gets /dev, /proc, /run and /tmp.
        """
        inside: list[Argument] = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc"]
        inside += ["--unshare-uts", "--hostname", "tools", "--cap-add", "ALL"]
        for folder in ("usr", "etc"):
            inside += ["--ro-bind", self.tree / folder, f"/{folder}"]
        for link in ("bin", "sbin", "lib", "lib64"):
            inside += ["--symlink", f"usr/{link}", f"/{link}"]
        inside += ["--proc", "/proc", "--dev-bind", "/dev", "/dev"]
        for folder in ("/tmp", "/var/tmp", "/run", "/root"):  # noqa: S108 (a fresh tmpfs each)
            inside += ["--tmpfs", folder]
        if network:
            inside += ["--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf"]
            inside += ["--ro-bind-try", "/etc/ssl", "/etc/ssl"]
        else:
            inside += ["--unshare-net"]
        for path in ro_binds:
            inside += ["--ro-bind", path.absolute(), path.absolute()]
        for path in binds:
            inside += ["--bind", path.absolute(), path.absolute()]
        if into is not None:
            inside += ["--dev-bind", "/dev", into / "dev", "--proc", into / "proc"]
            inside += ["--tmpfs", into / "run", "--tmpfs", into / "tmp"]
        inside += ["--chdir", cwd.absolute() if cwd else "/", "--", *argv]
        return as_root(inside)

    def run(
        self,
        argv: Sequence[Argument],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
        into: Path | None = None,
        cwd: Path | None = None,
        network: bool = False,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        output: IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Completed:
        """Run a program inside to its end; as `alma_runtime.run.run`."""
        return programs.run(
            self.command(argv, binds=binds, ro_binds=ro_binds, into=into, cwd=cwd, network=network),
            stdin=stdin,
            env=inside_environment(network, env),
            check=check,
            output=output,
            pass_fds=pass_fds,
        )

    @contextlib.contextmanager
    def spawn(
        self,
        argv: Sequence[Argument],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
        network: bool = False,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A running program inside, gone when the block is left."""
        with programs.spawn(
            self.command(argv, binds=binds, ro_binds=ro_binds, network=network),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=inside_environment(network, env),
            pass_fds=pass_fds,
        ) as process:
            yield process


def inside_environment(network: bool, extra: Mapping[str, str] | None) -> dict[str, str]:
    """Environment of a program inside: no folder of the host, proxies only with a network."""
    outside = network_environment() if network else {}
    return {
        **outside,
        "PATH": INSIDE_PATH,
        "HOME": "/root",
        "TMPDIR": "/tmp",  # noqa: S108 (the sandbox's own)
        "TZ": "UTC",
        **(extra or {}),
    }
