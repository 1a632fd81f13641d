"""`alma stick create|verify`, `alma disk create|verify`."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from alma_image.media.devices import Device, look_at
from alma_image.media.disk import add_disk_key, data_partition, prepare_disk
from alma_image.media.flash import confirm, flash
from alma_image.media.luks import HEADER_BYTES, read_header, require_ours
from alma_image.media.plan import Plan
from alma_image.media.progress import Progress, human_size
from alma_image.media.stick import Release, open_release, prepare_stick
from alma_image.media.target import open_target
from alma_image.media.verify import check_system, manifest_on, verify_stick
from alma_image.media.writing import write_file_image
from alma_image.profile import Profile, read_profile
from alma_image.release.build import tools_sandbox
from alma_image.release.manifest import NAME
from alma_image.release.signing import PUBLIC_NAME, read_public_key
from alma_image.source import BUILD
from alma_runtime.config import settings
from alma_runtime.errors import AlmaError, UsageRefused
from alma_runtime.i18n import _
from alma_runtime.passphrase import ask_new_passphrase, read_passphrase
from alma_runtime.run import run
from alma_runtime.volumes import Runner, WrongSecret, check_secret

Function = Callable[..., None]
LEAST_KDF_MEMORY_KIB = 256 * 1024
"""Below this, a profile protects nothing but test data."""


def refuse_passphrase(_context: click.Context, _option: click.Parameter, value: str | None) -> None:
    """An option that exists only to say why it does not exist."""
    if value is not None:
        raise UsageRefused(
            _(
                "a passphrase in the command line would stay in the shell's history and be visible "
                "to every user; leave the option out to be asked, or name a file in "
                "ALMA_PASSPHRASE_FILE"
            )
        )


def media_options(function: Function) -> Function:
    """The options that all commands of this room share."""
    secret = click.option(
        "--passphrase", hidden=True, expose_value=False, callback=refuse_passphrase
    )
    target = click.argument("target", type=click.Path(path_type=Path))
    return target(secret(function))


public_key_option = click.option(
    "--public-key",
    "public_key",
    type=click.Path(path_type=Path),
    help=_("whose releases to trust (default: your own key)"),
)
erase_option = click.option(
    "--erase", "typed", metavar="NAME", help=_("the device's name: erase it without asking")
)

replace_option = click.option(
    "--replace", is_flag=True, help=_("replace an image file that is there already")
)


@click.group()
def stick() -> None:
    """Make and check the stick."""


@click.group()
def disk() -> None:
    """Make, open and check the disk."""


@stick.command("create")
@media_options
@click.option("--release", type=click.Path(path_type=Path), help=_("default: the latest built"))
@click.option("--disk-key-from", type=click.Path(path_type=Path), help=_("a disk it shall open"))
@public_key_option
@erase_option
@replace_option
def stick_create(
    target: Path,
    release: Path | None,
    disk_key_from: Path | None,
    public_key: Path | None,
    typed: str | None,
    replace: bool,
) -> None:
    """Make a stick in TARGET, an image file or a block device."""
    checked = _release(release, public_key)
    device = _device(target, typed, stick=True, replace=replace, profile=checked.manifest.profile)
    passphrase = ask_new_passphrase()
    with _tools_and_work(target, device) as (tools, work):
        key = _disk_key(tools, disk_key_from, passphrase, work) if disk_key_from else b""
        size = device.size if device else 0
        plan = prepare_stick(tools, checked, passphrase, work, size=size, disk_key=key)
        _carry_out(plan, target, device)
    click.echo(_("{target}: the stick is ready").format(target=target))


@disk.command("create")
@media_options
@click.option("--size", "size_mib", type=click.IntRange(min=1), help=_("MiB of an image file"))
@click.option("--profile", "profile", default="portable", help=_("key costs and size from here"))
@erase_option
@replace_option
def disk_create(
    target: Path, size_mib: int | None, profile: str, typed: str | None, replace: bool
) -> None:
    """Make an empty encrypted disk in TARGET, an image file or a block device."""
    chosen = read_profile(profile)
    device = _device(target, typed, stick=False, replace=replace, profile=chosen)
    passphrase = ask_new_passphrase()
    with _tools_and_work(target, device) as (tools, work):
        size = device.size if device else (size_mib or chosen.disk_mib) << 20
        sector = device.sector if device else 512
        plan = prepare_disk(tools, chosen, passphrase, work, size=size, sector=sector)
        _carry_out(plan, target, device)
    click.echo(_("{target}: the disk is ready").format(target=target))


@stick.command("verify")
@media_options
@public_key_option
@click.option("--system", is_flag=True, help=_("also the encrypted system (asks the passphrase)"))
@click.option("--json", "as_json", is_flag=True)
def stick_verify(target: Path, public_key: Path | None, system: bool, as_json: bool) -> None:
    """Hold every byte of a stick's public part against the signed manifest."""
    key = trusted_key(public_key)
    with _tools_and_work(None, None) as (tools, work), open_target(target) as medium:
        report = verify_stick(tools, medium, key, work)
        differences = list(report.differences)
        if system and not differences:
            manifest = manifest_on(tools, medium, key, work)
            progress = Progress(_("checking"), manifest.key_offset, sys.stderr)
            secret = read_passphrase()
            differences += check_system(tools, medium, secret, manifest, work, progress.advance)
    if as_json:
        click.echo(json.dumps({"version": report.version, "signed_by": report.signed_by,
                               "differences": differences, "notes": report.notes}))  # fmt: skip
    else:
        for line in (*report.notes, *differences):
            click.echo(f"  {line}")
    if differences:
        raise AlmaError(
            _("{target} was altered: {count} differences; do not boot it").format(
                target=target, count=len(differences)
            )
        )
    if not as_json:
        click.echo(
            _("{target}: ALMA {version}, nothing altered (signed by {key})").format(
                target=target, version=report.version, key=report.signed_by
            )
        )


@disk.command("verify")
@media_options
@click.option("--unlock", is_flag=True, help=_("also try the passphrase"))
@click.option("--json", "as_json", is_flag=True)
def disk_verify(target: Path, unlock: bool, as_json: bool) -> None:
    """Check a disk's partition table and the header of its volume."""
    with open_target(target) as medium:
        partition = data_partition(medium, str(target))
        header = read_header(medium, partition.start, str(target))
        require_ours(header, str(target))
        if unlock:
            with _tools_and_work(None, None) as (tools, work):
                copy = work / "header"
                copy.write_bytes(medium.read(partition.start, HEADER_BYTES))
                if not check_secret(tools, copy, read_passphrase()):
                    raise AlmaError(_("{target}: this passphrase does not open it").format(
                        target=target))  # fmt: skip
    costs = [" ".join(kdf.options) for kdf in header.kdfs]
    if as_json:
        click.echo(json.dumps({"uuid": header.uuid, "size": partition.size, "keys": costs}))
        return
    click.echo(_("{target}: the disk is in order, {size}, {count} keys").format(
        target=target, size=human_size(partition.size), count=len(costs)))  # fmt: skip


def trusted_key(given: Path | None) -> bytes:
    """The public key (PEM) whose releases are trusted: the one given, else the builder's own.

    Raises:
        AlmaError: neither is there.
    """
    path = given or settings().config_dir / PUBLIC_NAME
    if given is None and not path.exists():
        raise AlmaError(
            _(
                "{path} is not there: no release was built here; name the key of whoever built "
                "this one with --public-key"
            ).format(path=path)
        )
    return read_public_key(path)


def latest_release(folder: Path) -> Path:
    """The release that was built last.

    Raises:
        AlmaError: none is there.
    """
    found = [path.parent for path in folder.glob(f"[!.]*/{NAME}")]
    if not found:
        raise AlmaError(_("{folder} holds no release; make one with «alma build»").format(
            folder=folder))  # fmt: skip
    return max(found, key=lambda release: (release / NAME).stat().st_mtime)


def _release(folder: Path | None, public_key: Path | None) -> Release:
    return open_release(folder or latest_release(BUILD / "release"), trusted_key(public_key))


def _device(
    target: Path, typed: str | None, *, stick: bool, replace: bool, profile: Profile
) -> Device | None:
    """The confirmed device, or None for an image file."""
    if not target.is_block_device():
        place = target.absolute()
        # A device that is not plugged in is no file to be made: /dev lies in RAM.
        if target.is_dir() or not place.parent.is_dir() or place.is_relative_to("/dev"):
            raise AlmaError(
                _("{target}: neither a block device nor a file that can be made").format(
                    target=target
                )
            )
        if target.exists() and not replace:
            raise AlmaError(
                _(
                    "{target} is there already; --replace makes it anew and loses what it holds"
                ).format(target=target)
            )
        return None
    if profile.kdf_memory_kib < LEAST_KDF_MEMORY_KIB:
        click.echo(
            _(
                "careful: the profile «{name}» is for tests; its passphrase is quick to guess"
            ).format(name=profile.name),
            err=True,
        )
    device = look_at(run, target)
    if stick and device.sector != 512:
        raise AlmaError(_("{target}: a medium with sectors of {sector} bytes does not boot").format(
            target=target, sector=device.sector))  # fmt: skip
    confirm(device, typed, stick=stick)
    return device


def _carry_out(plan: Plan, target: Path, device: Device | None) -> None:
    if device is None:
        progress = Progress(_("writing"), plan.data_bytes, sys.stderr)
        write_file_image(target.absolute(), plan, progress.advance)
    else:
        flash(target, plan, in_use=bool(device.mounts))


def _disk_key(tools: Runner, disk: Path, passphrase: bytes, work: Path) -> bytes:
    """A new key of the disk: most people give both media one passphrase, so that is tried first."""
    try:
        return add_disk_key(tools, disk, passphrase, work)
    except WrongSecret:
        secret = read_passphrase(_("Passphrase of the disk: "))
    try:
        return add_disk_key(tools, disk, secret, work)
    except WrongSecret as exc:
        raise AlmaError(
            _("{target}: this passphrase does not open it").format(target=disk)
        ) from exc


@contextlib.contextmanager
def _tools_and_work(target: Path | None, device: Device | None) -> Iterator[tuple[Runner, Path]]:
    """The tools tree's programs and a folder for work files, beside an image that is made."""
    sandbox = tools_sandbox(lambda line: click.echo(line, err=True))
    beside = target.absolute().parent if target and device is None else settings().cache_dir
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".alma-media.") as name:
        work = Path(name)
        yield functools.partial(sandbox.run, binds=[work]), work


COMMANDS: list[click.Command] = [stick, disk]
