"""A release from the first stage to the signature."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma_image.profile import Profile, profile_names, read_profile
from alma_image.release import signing
from alma_image.release.archive import resolve
from alma_image.release.boot_files import build_boot_files
from alma_image.release.engine import build_engine, engine_source
from alma_image.release.lock import SystemLock, read_lock, write_lock
from alma_image.release.manifest import (
    NAME,
    PUBLIC_KEY_NAME,
    SIGNATURE_NAME,
    manifest_text,
    sign_release,
)
from alma_image.release.python_layers import build_runtime, build_wheels
from alma_image.release.sandbox import Sandbox
from alma_image.release.sbom import installed_wheels, sbom
from alma_image.release.stages import Stage, StageCache
from alma_image.release.system_image import build_system_image, read_verity
from alma_image.release.system_tree import build_system_tree
from alma_image.release.trees import (
    BASE_VARIANT,
    TOOLS_SET,
    TOOLS_VARIANT,
    Trees,
    base_wishes,
    wish_list,
)
from alma_image.source import MODELS_LOCK
from alma_runtime import __version__
from alma_runtime.config import settings
from alma_runtime.models_lock import read_models_lock
from alma_runtime.run import run

SBOM_NAME = "sbom.cdx.json"
EMBEDDED_MODEL = "semilla"


@dataclass(frozen=True)
class Release:
    """A finished release and what each stage took."""

    folder: Path
    fingerprint: str
    stages: tuple[Stage, ...]
    public_key: bytes


def tools_sandbox(report: Callable[[str], None]) -> Sandbox:
    """The tools tree, made if it is not there yet: for making media and for QEMU."""
    cache = StageCache(settings().cache_dir, report)
    trees = Trees(read_lock(), cache)
    present = trees.tools_at_hand()
    if present is not None:
        return present
    with cache.locked():
        return trees.tools()[1]


def build_release(profile: Profile, out: Path, report: Callable[[str], None]) -> Release:
    """Build (or find in the cache) every stage and put the release into `out/<version>`."""
    lock = read_lock()
    cache = StageCache(settings().cache_dir, report)
    with cache.locked():
        return _build(profile, lock, cache, out)


def _build(profile: Profile, lock: SystemLock, cache: StageCache, out: Path) -> Release:
    trees = Trees(lock, cache)
    tools, sandbox = trees.tools()
    base = trees.base(profile, tools, sandbox)
    engine = build_engine(cache, tools, sandbox, os.cpu_count() or 1)
    wheels = build_wheels(cache, tools, sandbox)
    tree = build_system_tree(cache, lock, profile, tools, sandbox, base)
    runtime = build_runtime(cache, tools, sandbox, __version__)
    layers = [engine, wheels, runtime]
    system = build_system_image(cache, lock, profile, sandbox, tree, layers)
    verity = read_verity(system)
    boot = build_boot_files(cache, profile, tools, sandbox, tree, verity)

    found = installed_wheels([wheels.folder, runtime.folder])
    key = signing.load_or_create_key(settings().config_dir)
    target = out / f"{__version__}-{profile.name}"
    with cache.workspace() as work:
        folder = work / "release"
        contents = _collect(folder, profile, lock, system, boot, found)

        def manifest_of(place: Path) -> bytes:
            return manifest_text(__version__, lock.epoch, profile, place, verity, contents)

        text = manifest_of(folder)
        sign_release(folder, text, key)
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        # The same release again keeps its date: sticks made from it are not out of date.
        if not (_is_signed(target, folder) and manifest_of(target) == text):
            _put(folder, target)
    _write_times(out, cache)
    public = signing.public_pem(key)
    return Release(target, signing.fingerprint(public), tuple(cache.used), public)


def _collect(
    folder: Path,
    profile: Profile,
    lock: SystemLock,
    system: Stage,
    boot: Stage,
    wheels: Mapping[str, str],
) -> dict[str, Any]:
    """Put a release's files into a new folder; returns what the manifest says besides them."""
    folder.mkdir()
    _link(system.folder / "system.img", folder / "system.img")
    for part in ("esp", "bios"):
        shutil.copytree(boot.folder / part, folder / part, copy_function=_link)
    packages = lock.packages(profile.name)
    models = [m for m in read_models_lock(MODELS_LOCK) if m.id == EMBEDDED_MODEL]
    bill = sbom(__version__, lock.epoch, packages, wheels, models)
    (folder / SBOM_NAME).write_text(bill, encoding="utf-8")
    return {
        "packages": [f"{p.name} {p.version} {p.sha256}" for p in packages],
        "wheels": [f"{name} {version}" for name, version in wheels.items()],
        "models": [f"{m.id} {m.sha256}" for m in models],
        "versions": {"alma": __version__, "llama-cpp-python": engine_source().version},
    }


def _is_signed(target: Path, folder: Path) -> bool:
    """Does a release that is there carry the manifest, signature and key of a fresh one?"""
    return all(
        (target / name).is_file() and (target / name).read_bytes() == (folder / name).read_bytes()
        for name in (NAME, SIGNATURE_NAME, PUBLIC_KEY_NAME)
    )


def _link(source: str | Path, target: str | Path) -> None:
    """A hard link where source and target lie on one file system, else a copy."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _put(folder: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    for leftover in (fresh, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    # A copy: who edits a release must not edit the cache with it.
    shutil.copytree(folder, fresh)
    run(["sync", "--file-system", fresh])
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    if old.exists():
        shutil.rmtree(old)


def _write_times(out: Path, cache: StageCache) -> None:
    """What each stage took, for `make bench`; beside the release, not in it."""
    times = {s.name: {"seconds": round(s.seconds, 2), "cached": s.cached} for s in cache.used}
    (out / "stages.json").write_text(json.dumps(times, indent=1), encoding="utf-8")


def update_lock(report: Callable[[str], None]) -> None:
    """Renew `image/system.lock` from what the archive holds today."""
    started = time.monotonic()
    sets = {TOOLS_SET: resolve(wish_list(TOOLS_SET), TOOLS_VARIANT)}
    resolved = {}
    for name in profile_names():
        wishes = tuple(base_wishes(read_profile(name)))
        if wishes not in resolved:
            resolved[wishes] = resolve(wishes, BASE_VARIANT)
        sets[name] = resolved[wishes]
    write_lock(sets)
    report(f"image/system.lock: {time.monotonic() - started:.0f} s")
