"""The one place that runs external programs.

Never through a shell, with a small known environment and umask, standard input closed unless
given, and a child that never outlives us. A failure is one sentence that shows the command so
that it can be pasted. Secrets go in by `stdin` or by an inherited descriptor, so they are in no
message.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import IO

from alma_runtime.config import program_environment
from alma_runtime.errors import ProgramFailed
from alma_runtime.i18n import _

Argument = str | PathLike[str]
LAST_LINES = 12
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Completed:
    """How a program ended."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the final newline."""
        return self.stdout.decode("utf-8", "replace").rstrip("\n")


def command_line(argv: Sequence[Argument]) -> str:
    """The command as a person could paste it into a shell."""
    return shlex.join(fspath(a) for a in argv)


def run(
    argv: Sequence[Argument],
    *,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a program to its end.

    Args:
        stdin: bytes for its standard input; none means /dev/null.
        env: variables on top of the small environment that all programs get.
        output: an open file for stdout and stderr together (a log); else both are captured.
        check: raise `ProgramFailed` on a status other than 0.

    Raises:
        ProgramFailed: not found, or ended with an error; its last lines are in the message.
    """
    with spawn(
        argv,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.STDOUT if output else subprocess.PIPE,
        cwd=cwd,
        env=env,
        pass_fds=pass_fds,
    ) as process:
        stdout, stderr = process.communicate(stdin)
    done = Completed(process.returncode, stdout or b"", stderr or b"")
    if check and done.returncode != 0:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise ProgramFailed(
            _("«{command}» failed with status {status}{words}").format(
                command=command_line(argv),
                status=done.returncode,
                words=":\n" + "\n".join(words.splitlines()[-LAST_LINES:]) if words else "",
            ),
            returncode=done.returncode,
            stderr=words,
        )
    return done


@contextlib.contextmanager
def spawn(
    argv: Sequence[Argument],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    new_session: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running program that is gone when the block is left, however it is left.

    Args:
        new_session: its own process group, so that a Ctrl-C of ours does not reach it.
    """
    try:
        process = subprocess.Popen(
            [fspath(a) for a in argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=program_environment(dict(env or {})),
            pass_fds=tuple(pass_fds),
            start_new_session=new_session,
            umask=0o022,
        )
    except FileNotFoundError as exc:
        raise ProgramFailed(
            _("the program «{name}» is not installed").format(name=fspath(argv[0])), returncode=127
        ) from exc
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> None:
    """End a child politely, then firmly, and reap it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
