"""Debian's archive: where it is, which packages a wish list means today, and fetching the pinned.

Where the archive lies is not ours to say: it is what mmdebstrap on this machine would use, or what
`ALMA_ARCHIVE` names. Downloads are checked against the lock, so no signature is needed for them;
renewing the lock trusts apt, which checks the archive's signature.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from alma_image.release.lock import Package
from alma_image.release.sandbox import as_root
from alma_runtime.config import settings
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.files import replacing
from alma_runtime.i18n import _
from alma_runtime.run import run

SUITE = "trixie"
PARALLEL = 6
TIMEOUT_SECONDS = 60
# In a namespace of a user no device node can be made; the sandbox brings its own /dev.
NO_DEVICES = "--skip=chroot/mount/dev,output/dev,output/mknod"
NO_RECOMMENDS = '--aptopt=APT::Install-Recommends "false"'
SOURCES_LINE = re.compile(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s", re.MULTILINE)


def in_mounts(argv: Sequence[str | Path]) -> list[str | Path]:
    """A host program as root with mounts of its own, for any user."""
    # Its processes must not outlive us, not even when we are killed.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    plain = ["setpriv", "--pdeathsig", "KILL", "--", *as_root([*alone, *argv])]
    return [str(part) for part in plain]


def archive_addresses() -> dict[str, str]:
    """Base addresses by archive name (the last part of the address: `debian`, …)."""
    configured = settings().archive
    if configured:
        texts = [f"deb {address} x" for address in configured.split()]
    else:
        hook = 'cat "$1"/etc/apt/sources.list >&2; exit 1'
        done = run(
            in_mounts(["mmdebstrap", "--mode=root", "--variant=apt", f"--setup-hook={hook}",
                       SUITE, "/dev/null"]),
            check=False,
        )  # fmt: skip
        texts = done.stderr.decode("utf-8", "replace").splitlines()
    addresses = [m.group(1).rstrip("/") for t in texts if (m := SOURCES_LINE.match(t))]
    if not addresses:
        raise AlmaError(_("no Debian archive is known on this machine; name one in ALMA_ARCHIVE"))
    return {address.rsplit("/", 1)[-1]: address for address in addresses}


def resolve(include: Sequence[str], variant: str) -> list[Package]:
    """What a tree made today from a wish list would hold, with the archive's own hashes.

    Raises:
        AlmaError: a package does not exist, or the archive cannot be reached.
    """
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        hooks = [
            f'--customize-hook=cp -r "$1"/var/lib/apt/lists {shlex.quote(name)}/lists',
            f'--customize-hook=dpkg-query --admindir="$1"/var/lib/dpkg -W'
            f" -f='${{Package}} ${{Version}} ${{Architecture}}\\n' > {shlex.quote(name)}/installed",
        ]
        try:
            run(
                in_mounts(
                    ["mmdebstrap", "--mode=root", NO_DEVICES, NO_RECOMMENDS, "--format=null",
                     f"--variant={variant}", f"--include={','.join(include)}", *hooks,
                     SUITE, "/dev/null"]
                )
            )  # fmt: skip
        except ProgramFailed as exc:
            missing = re.search(r"Unable to locate package (\S+)", exc.stderr)
            if missing:
                raise AlmaError(
                    _(
                        "the archive has no package «{name}» (image/packages.toml or a profile)"
                    ).format(name=missing.group(1))
                ) from exc
            raise
        known = {}
        for index in sorted((out / "lists").glob("*_Packages")):
            archive = _archive_of(index.name)
            for package in _stanzas(index.read_text(encoding="utf-8"), archive):
                known[package.name, package.version, package.architecture] = package
        installed = (out / "installed").read_text(encoding="utf-8").split("\n")
    return [known[_key(line)] for line in installed if line]


def _key(line: str) -> tuple[str, str, str]:
    name, version, architecture = line.split()
    return name, version, architecture


def _archive_of(index_name: str) -> str:
    """`…_debian-security_dists_…_Packages` → `debian-security`."""
    return index_name.split("_dists_")[0].rsplit("_", 1)[-1]


def _stanzas(text: str, archive: str) -> Iterator[Package]:
    for stanza in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " "
        )
        if "SHA256" in fields:
            yield Package(
                fields["Package"], fields["Version"], fields["Architecture"], archive,
                fields["Filename"], int(fields["Size"]), fields["SHA256"],
            )  # fmt: skip


def fetch_all(
    packages: Iterable[Package], folder: Path, report: Callable[[str], None]
) -> dict[Package, Path]:
    """Every pinned .deb in `folder`, named by its hash; only what is missing is fetched.

    Raises:
        AlmaError: the archive no longer has a pin, or sends something else than was pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {package: folder / f"{package.sha256}.deb" for package in packages}
    missing = [p for p, path in wanted.items() if not _is_whole(path, p)]
    if missing:
        addresses = archive_addresses()
        size = sum(p.size for p in missing) / 1e6
        report(_("fetching {count} packages, {size:.0f} MB").format(count=len(missing), size=size))
        with (
            httpx.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS) as client,
            ThreadPoolExecutor(PARALLEL) as pool,
        ):
            jobs = [pool.submit(_fetch, client, addresses, p, wanted[p]) for p in missing]
            try:
                for job in jobs:
                    job.result()
            finally:
                for job in jobs:
                    job.cancel()
    return wanted


def _is_whole(path: Path, package: Package) -> bool:
    # Names are hashes and files appear by rename only, so the size is enough to trust our cache.
    return path.is_file() and path.stat().st_size == package.size


def _fetch(client: httpx.Client, addresses: dict[str, str], package: Package, path: Path) -> None:
    if package.archive not in addresses:
        raise AlmaError(
            _(
                "package {name} comes from «{archive}», which is not among this machine's archives"
            ).format(name=package.name, archive=package.archive)
        )
    name = f"{package.name} {package.version}"
    try:
        with (
            client.stream("GET", f"{addresses[package.archive]}/{package.path}") as answer,
            replacing(path) as file,
        ):
            if answer.status_code == 404:
                raise AlmaError(
                    _("the archive no longer has {name}; run «alma build --update-lock»").format(
                        name=name
                    )
                )
            answer.raise_for_status()
            digest = hashlib.sha256()
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
            if digest.hexdigest() != package.sha256:
                raise AlmaError(
                    _("{name}: what the archive sent is not what image/system.lock pins").format(
                        name=name
                    )
                )
    except httpx.HTTPError as exc:
        raise AlmaError(
            _("{name} could not be fetched ({reason}); check the network and run it again").format(
                name=name, reason=str(exc) or type(exc).__name__
            )
        ) from exc


def make_repository(packages: dict[Package, Path], folder: Path) -> None:
    """A flat apt repository of exactly these packages: links, `Packages` and `Release`."""
    stanzas = []
    for package, path in sorted(packages.items()):
        control = run(["dpkg-deb", "--field", path]).text
        name = f"{package.sha256}.deb"
        (folder / name).hardlink_to(path)
        stanzas.append(
            f"{control}\nFilename: ./{name}\nSize: {package.size}\nSHA256: {package.sha256}\n"
        )
    index = "\n".join(stanzas).encode()
    (folder / "Packages").write_bytes(index)
    # mmdebstrap asks apt for the essential packages *of the suite*: the repository is that suite.
    (folder / "Release").write_text(
        f"Origin: ALMA\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64\n"
        f"Date: Thu, 01 Jan 1970 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n",
        encoding="utf-8",
    )
