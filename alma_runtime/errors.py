"""The error ladder: a known error is one sentence and an exit status.

Anything that is not an `AlmaError` is a bug and must crash loudly, traceback and all.
Messages are made with `alma_runtime.i18n._` where they are raised, never here.
"""

from __future__ import annotations

STATUS_FAILED = 1
STATUS_USAGE = 2


class AlmaError(Exception):
    """What went wrong, where, and what to do, in one sentence for a person. Exit status 1."""

    status = STATUS_FAILED


class UsageRefused(AlmaError):
    """The command was typed in a way that must not be carried out. Exit status 2."""

    status = STATUS_USAGE


class ProgramFailed(AlmaError):
    """An external program ended with an error; carries its exit status and its last words."""

    def __init__(self, message: str, *, returncode: int, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr
