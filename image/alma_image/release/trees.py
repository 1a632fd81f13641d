"""Debian trees from pinned packages: the tools tree, and the base of the appliance."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from alma_image.profile import Profile
from alma_image.release.archive import (
    NO_DEVICES,
    NO_RECOMMENDS,
    SUITE,
    fetch_all,
    in_mounts,
    make_repository,
)
from alma_image.release.lock import Package, SystemLock
from alma_image.release.sandbox import Sandbox
from alma_image.release.stages import Stage, StageCache
from alma_image.source import IMAGE
from alma_runtime.run import Completed, run

TOOLS_SET = "tools"
TOOLS_VARIANT = "minbase"
BASE_VARIANT = "essential"


def wish_list(name: str) -> list[str]:
    """The packages asked for by name in `image/packages.toml`."""
    table = tomllib.loads((IMAGE / "packages.toml").read_text(encoding="utf-8"))
    packages: list[str] = table[name]["packages"]
    return packages


def base_wishes(profile: Profile) -> list[str]:
    """What the appliance of a profile is made from."""
    return [*wish_list("base"), *profile.packages]


def _pins(packages: Sequence[Package]) -> str:
    return "\n".join(p.sha256 for p in packages)


@dataclass(frozen=True)
class Trees:
    """Makes trees from one lock into one cache."""

    lock: SystemLock
    cache: StageCache

    def tools(self) -> tuple[Stage, Sandbox]:
        """The tree in which every other step runs; made by the host's mmdebstrap."""
        packages = self.lock.packages(TOOLS_SET)

        def make(result: Path) -> None:
            with self.cache.workspace() as work:
                archive = work / "tools.tar"
                self._mmdebstrap(packages, wish_list(TOOLS_SET), TOOLS_VARIANT, archive, work, None)
                tree = result / "tree"
                tree.mkdir()
                run(
                    ["tar", "-x", "-f", archive, "-C", tree, "--no-same-owner", "--exclude=./dev/*"]
                )
                # A mount point for the host's, when a step needs the network.
                (tree / "etc" / "resolv.conf").unlink(missing_ok=True)
                (tree / "etc" / "resolv.conf").touch()

        stage = self.cache.stage(TOOLS_SET, self._tools_inputs(), make)
        return stage, Sandbox(stage.folder / "tree")

    def tools_at_hand(self) -> Sandbox | None:
        """The tools tree if it was made before, even while another build holds the cache."""
        folder = self.cache.find(TOOLS_SET, self._tools_inputs())
        return Sandbox(folder / "tree") if folder else None

    def _tools_inputs(self) -> dict[str, str]:
        return {"pins": _pins(self.lock.packages(TOOLS_SET)), "form": "2"}

    def base(self, profile: Profile, tools: Stage, sandbox: Sandbox) -> Stage:
        """`base.tar`: the appliance's packages, installed inside the tools tree."""
        packages = self.lock.packages(profile.name)

        def make(result: Path) -> None:
            with self.cache.workspace() as work:
                wishes = base_wishes(profile)
                self._mmdebstrap(packages, wishes, BASE_VARIANT, result / "base.tar", work, sandbox)

        inputs = {"pins": _pins(packages), "epoch": str(self.lock.epoch), "tools": tools.key}
        return self.cache.stage(f"base-{profile.name}", inputs, make)

    def _mmdebstrap(
        self,
        packages: Sequence[Package],
        wishes: Sequence[str],
        variant: str,
        target: Path,
        work: Path,
        sandbox: Sandbox | None,
    ) -> Completed:
        debs = fetch_all(packages, self.cache.folder / "debs", self.cache.report)
        repository = work / "repository"
        repository.mkdir()
        make_repository(debs, repository)
        source = f"deb [trusted=yes] copy://{quote(str(repository))} ./"
        command = ["mmdebstrap", "--mode=root", NO_DEVICES, NO_RECOMMENDS, f"--variant={variant}",
                   f"--include={','.join(wishes)}", "--format=tar",
                   "--aptopt=Acquire::Languages \"none\"",
                   # Our repository's path is this machine's; it must not be in the tree.
                   '--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/resolv.conf',
                   SUITE, str(target), source]  # fmt: skip
        env = {"SOURCE_DATE_EPOCH": str(self.lock.epoch)}
        if sandbox is None:
            # What it unpacks lies in our work folder, so it goes when that goes.
            return run(in_mounts(command), env={**env, "TMPDIR": str(work)})
        return sandbox.run(command, binds=[target.parent, work], env=env)
