"""What tests of several rooms share: the built release, and the engine it carries."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from alma_image.profile import Profile, read_profile
from alma_image.release.build import Release, build_release, tools_sandbox
from alma_image.release.engine import ENGINE_PLACE
from alma_image.release.sandbox import Sandbox
from alma_image.source import BUILD

LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class Built:
    """The nano release that all tests look at; built once, from the person's cache."""

    release: Release
    profile: Profile
    sandbox: Sandbox

    def stage(self, name: str) -> Path:
        """The folder of one of its stages."""
        return next(stage.folder for stage in self.release.stages if stage.name == name)


def _say(text: str) -> None:
    print(text, file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def tools() -> Sandbox:
    """The tools tree."""
    return tools_sandbox(_say)


@pytest.fixture(scope="session")
def built(tools: Sandbox) -> Built:
    """The nano release of this checkout."""
    profile = read_profile("nano")
    return Built(build_release(profile, BUILD / "release", _say), profile, tools)


@pytest.fixture(scope="session")
def engine_dir(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `llama-server` that runs here, and `cpu/` with its variants.

    The engine is Debian 13's; it is started by that system's own loader, as this host's C library
    may be older.
    """
    real = built.stage("engine") / ENGINE_PLACE
    tree = built.sandbox.tree
    folder = tmp_path_factory.mktemp("engine")
    server = folder / "llama-server"
    server.write_text(
        f'#!/bin/sh\nexec "{tree / LOADER}" --library-path "{tree / LIBRARIES}:{real}" '
        f'"{real / "llama-server"}" "$@"\n',
        encoding="utf-8",
    )
    server.chmod(0o755)
    (folder / "cpu").symlink_to(real / "cpu")
    return folder
