"""The Python layers of the appliance: third-party wheels from the lock, and the runtime itself.

They lie in `/opt/alma/lib`, which one `.pth` file adds to Debian's Python; nothing is activated.
Bytecode is made here, since the appliance's disk is read-only, and without time stamps in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from alma_image.release.engine import engine_source, fetch_source, unpack
from alma_image.release.sandbox import Sandbox
from alma_image.release.stages import Stage, StageCache
from alma_image.source import (
    CHECKOUT,
    MODELS_LOCK,
    NOT_SOURCE,
    REQUIREMENTS,
    RUNTIME,
    SEMILLA,
    digest_of,
)
from alma_runtime import __version__
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.i18n import _

LOCK = REQUIREMENTS / "appliance.txt"
LIBRARIES = "opt/alma/lib"
PTH = "usr/local/lib/python3.13/dist-packages/alma.pth"
LAUNCHER = """\
#!/usr/bin/python3 -I
from alma_runtime.cli import main

main()
"""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")


def _pip(*arguments: str | Path) -> list[str | Path]:
    return ["python3", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]


def compile_bytecode(sandbox: Sandbox, layer: Path) -> None:
    """Bytecode beside every module, checked neither against times nor sources."""
    sandbox.run(
        ["python3", "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash",
         "-s", layer, "-p", "/", layer],
        binds=[layer], env={"PYTHONHASHSEED": "0"},
    )  # fmt: skip


def build_wheels(cache: StageCache, tools: Stage, sandbox: Sandbox) -> Stage:
    """Stage `wheels`: the locked wheels, and llama-cpp-python without libraries of its own."""
    source = engine_source()

    def make(result: Path) -> None:
        archive = fetch_source(source, cache.folder / "sources", sandbox)
        with cache.workspace() as work:
            wheels = work / "wheels"
            wheels.mkdir()
            try:
                platforms = [f"--platform={name}" for name in PLATFORMS]
                sandbox.run(
                    _pip("download", "--require-hashes", "--no-deps", "--only-binary=:all:",
                         "--python-version=3.13", "--implementation=cp", "--abi=cp313",
                         "--abi=abi3", "--abi=none", *platforms, "-r", LOCK, "-d", wheels),
                    binds=[wheels], ro_binds=[LOCK], network=True,
                )  # fmt: skip
            except ProgramFailed as exc:
                raise AlmaError(
                    _("the wheels of {file} could not be fetched: {reason}").format(
                        file=LOCK.name, reason=exc.stderr.splitlines()[-1] if exc.stderr else exc
                    )
                ) from exc
            binding = unpack(sandbox, archive, work)
            sandbox.run(
                _pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", wheels,
                     "-Ccmake.define.LLAMA_BUILD=OFF", binding),
                binds=[work],
            )  # fmt: skip
            _install(sandbox, wheels, result, [p.name for p in sorted(wheels.glob("*.whl"))])
        compile_bytecode(sandbox, result)

    inputs = {"lock": digest_of([LOCK]), "source": source.sha256, "tools": tools.key, "form": "1"}
    return cache.stage("wheels", inputs, make)


def _install(sandbox: Sandbox, wheels: Path, layer: Path, names: list[str]) -> None:
    """Install by name, never by path: pip writes a path it was given into the result."""
    requirements = ["==".join(name.split("-")[:2]) for name in names]
    target = layer / LIBRARIES
    target.mkdir(parents=True)
    sandbox.run(
        _pip("install", "--no-index", "--no-deps", "--no-compile", "--find-links", wheels,
             "--root-user-action=ignore", "--target", target, *requirements),
        binds=[target], ro_binds=[wheels],
    )  # fmt: skip
    shutil.rmtree(target / "bin", ignore_errors=True)


def build_runtime(cache: StageCache, tools: Stage, sandbox: Sandbox, version: str) -> Stage:
    """Stage `runtime`: the package `alma_runtime`, its launcher, the models it knows."""
    sources = [RUNTIME, CHECKOUT / "pyproject.toml", MODELS_LOCK, SEMILLA]

    def make(result: Path) -> None:
        with cache.workspace() as work:
            source = work / "source"
            ignore = shutil.ignore_patterns(*(f"*{name}" for name in NOT_SOURCE))
            shutil.copytree(RUNTIME, source / "alma_runtime", ignore=ignore)
            shutil.copy2(CHECKOUT / "pyproject.toml", source)
            wheels = work / "wheels"
            wheels.mkdir()
            sandbox.run(
                _pip(
                    "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", wheels, source
                ),
                binds=[work],
            )
            _install(sandbox, wheels, result, [p.name for p in wheels.glob("*.whl")])
        _write(result / PTH, f"/{LIBRARIES}\n")
        _write(result / "usr/bin/alma", LAUNCHER, 0o755)
        _write(result / "usr/share/alma/version", f"{version}\n")
        _write(result / "usr/share/alma/models.lock", MODELS_LOCK.read_text(encoding="utf-8"))
        models = result / "usr/share/alma/models"
        models.mkdir()
        shutil.copy(SEMILLA, models)
        compile_bytecode(sandbox, result / LIBRARIES)

    inputs = {"sources": digest_of(sources), "version": version, "tools": tools.key, "form": "1"}
    return cache.stage("runtime", inputs, make)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def release_version() -> str:
    """The version of what is being built."""
    return __version__
