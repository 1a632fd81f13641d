"""Putting a plan onto a real device: ask, probe, discard, write, read back."""

from __future__ import annotations

import contextlib
import fcntl
import struct
import sys
from pathlib import Path

import click

from alma_image.media.capacity import probe_capacity
from alma_image.media.devices import Device, objections
from alma_image.media.plan import Plan
from alma_image.media.progress import Progress
from alma_image.media.target import FdTarget, open_target
from alma_image.media.writing import write_device
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

BLKDISCARD = 0x1277
BLKRRPART = 0x125F
"""ioctl numbers of linux/fs.h."""


def confirm(device: Device, typed: str | None, *, stick: bool) -> None:
    """Show the device and make sure that it is the right one.

    An ordinary removable device needs a yes; a suspicious one needs its name, typed.

    Args:
        typed: the device's name, given beforehand on the command line.

    Raises:
        AlmaError: refused, by us or by the person.
    """
    if device.read_only:
        raise AlmaError(_("{path} is write-protected").format(path=device.path))
    for line in device.describe():
        click.echo(line, err=True)
    reasons = objections(device, stick=stick)
    for reason in reasons:
        click.echo(_("  careful: {reason}").format(reason=reason), err=True)
    if typed is None:
        typed = _ask(device, suspicious=bool(reasons))
    if typed != device.name:
        because = "; ".join(reasons) or _("it was not confirmed")
        raise AlmaError(
            _("{path} was left as it is: {reason}").format(path=device.path, reason=because)
        )


def flash(path: Path, plan: Plan, *, in_use: bool) -> None:
    """Write a plan onto a device and read all of it back.

    Args:
        in_use: the person confirmed a device that is mounted, so exclusive use is not asked for.

    Raises:
        AlmaError: the device went away, lies about its size, or gives back other bytes.
    """
    with open_target(path, write=True, exclusive=not in_use) as target:
        probe_capacity(target)
        discard(target)
        total = plan.data_bytes
        write_device(
            target,
            plan,
            Progress(_("writing"), total, sys.stderr).advance,
            Progress(_("reading back"), total, sys.stderr).advance,
        )
        with contextlib.suppress(OSError):  # not a whole device, or still in use: no harm
            fcntl.ioctl(target.fd, BLKRRPART)


def discard(target: FdTarget) -> None:
    """Tell the device that nothing on it is needed; most sticks do not know how, and that is fine.

    Nothing relies on it: what must be zero is overwritten all the same.
    """
    with contextlib.suppress(OSError):
        fcntl.ioctl(target.fd, BLKDISCARD, struct.pack("QQ", 0, target.size))


def _ask(device: Device, *, suspicious: bool) -> str | None:
    if not sys.stdin.isatty():
        return None
    if suspicious:
        question = _("Type «{name}» to erase it all the same").format(name=device.name)
        return str(click.prompt(question, default="", show_default=False, err=True))
    question = _("Erase everything on {path}? (yes/no)").format(path=device.path)
    answer = str(click.prompt(question, default="no", show_default=False, err=True))
    return device.name if answer.strip().lower() in ("s", "sí", "si", "y", "yes") else None
