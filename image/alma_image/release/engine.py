"""The engine: `llama-server` and its libraries, from the source archive of llama-cpp-python.

Every CPU variant is a library of its own in `cpu/`; the runtime chooses one and names it to the
engine (`GGML_BACKEND_PATH`). The folder that ggml searches by itself is a fixed, empty one, so it
finds nothing by chance, neither beside a user's files nor the variant that crashes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from alma_image.release.sandbox import Sandbox
from alma_image.release.stages import Stage, StageCache
from alma_image.source import REQUIREMENTS
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.files import sha256_of
from alma_runtime.i18n import _

ENGINE_PLACE = "usr/lib/alma/engine"
PIN = REQUIREMENTS / "engine.txt"
# AMX: this version's compiler output crashes in every matrix product (llama.cpp PR 26954).
LEFT_OUT = ("libggml-cpu-sapphirerapids.so",)
# Each flag is said: with GGML_NATIVE=OFF alone the baseline would silently become AVX2, and with
# SOURCE_DATE_EPOCH in the environment SSE2 (ggml's CMakeLists: GGML_NATIVE_DEFAULT, INS_ENB).
FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN:$ORIGIN/..",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    f"-DGGML_BACKEND_DIR=/{ENGINE_PLACE}/backends",
    "-DGGML_OPENMP=OFF",
    "-DGGML_RPC=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
)


@dataclass(frozen=True)
class EngineSource:
    """The pinned source archive."""

    version: str
    sha256: str


def engine_source(pin: Path = PIN) -> EngineSource:
    """What `requirements/engine.txt` pins.

    Raises:
        AlmaError: the file holds no pin.
    """
    found = re.search(
        r"^llama-cpp-python==(\S+)\s+--hash=sha256:([0-9a-f]{64})$",
        pin.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if not found:
        raise AlmaError(_("{file} pins no llama-cpp-python with a hash").format(file=pin))
    return EngineSource(found.group(1), found.group(2))


def fetch_source(source: EngineSource, folder: Path, sandbox: Sandbox) -> Path:
    """The source archive, fetched once.

    Raises:
        AlmaError: it cannot be fetched, or it is not the one that was pinned.
    """
    path = folder / f"llama_cpp_python-{source.version}.tar.gz"
    if path.is_file() and sha256_of(path) == source.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sandbox.run(
            ["python3", "-m", "pip", "download", "--no-deps", "--no-binary=:all:",
             "--no-build-isolation", "--require-hashes", "-r", PIN, "-d", folder],
            binds=[folder], ro_binds=[PIN], network=True,
        )  # fmt: skip
    except ProgramFailed as exc:
        raise AlmaError(
            _("the engine's source could not be fetched: {reason}").format(
                reason=exc.stderr.splitlines()[-1] if exc.stderr else exc
            )
        ) from exc
    return path


def unpack(sandbox: Sandbox, archive: Path, folder: Path) -> Path:
    """The archive's one folder, unpacked."""
    sandbox.run(["tar", "-x", "-z", "--no-same-owner", "-f", archive, "-C", folder],
                binds=[folder], ro_binds=[archive])  # fmt: skip
    return next(path for path in folder.iterdir() if path.name.startswith("llama_cpp_python"))


def build_engine(cache: StageCache, tools: Stage, sandbox: Sandbox, jobs: int) -> Stage:
    """Stage `engine`: the layer `usr/lib/alma/engine`."""
    source = engine_source()

    def make(result: Path) -> None:
        archive = fetch_source(source, cache.folder / "sources", sandbox)
        with cache.workspace() as work:
            tree = unpack(sandbox, archive, work) / "vendor" / "llama.cpp"
            build = work / "build"
            log = cache.folder / "engine.log"
            map_flag = f"-ffile-prefix-map={work}=/alma-engine"
            compilers = [f"-DCMAKE_C_FLAGS={map_flag}", f"-DCMAKE_CXX_FLAGS={map_flag}"]
            configure: list[str | Path] = ["cmake", "-G", "Ninja", "-S", tree, "-B", build]
            compile_all: list[str | Path] = ["cmake", "--build", build, "-j", str(jobs)]
            with log.open("wb") as stream:
                _logged(sandbox, [*configure, *FLAGS, *compilers], work, stream)
                _logged(sandbox, [*compile_all, "--target", "llama-server"], work, stream)
            place = result / ENGINE_PLACE
            collect(build / "bin", place)
            binaries = [*place.rglob("*.so*"), place / "llama-server"]
            sandbox.run(["strip", "--strip-unneeded", *binaries], binds=[place])

    inputs = {"source": source.sha256, "flags": "\n".join((*FLAGS, *LEFT_OUT)), "tools": tools.key}
    return cache.stage("engine", inputs, make)


def _logged(sandbox: Sandbox, command: Sequence[str | Path], work: Path, stream: IO[bytes]) -> None:
    try:
        sandbox.run(command, binds=[work], output=stream)
    except ProgramFailed as exc:
        log = Path(stream.name)
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise AlmaError(
            _("the engine could not be built; see {log}:\n{last}").format(log=log, last=last)
        ) from exc


def collect(binaries: Path, place: Path) -> None:
    """Copy the server, its libraries, and the CPU variants into their folders."""
    (place / "cpu").mkdir(parents=True)
    (place / "backends").mkdir()
    for path in sorted(binaries.iterdir()):
        if path.name in LEFT_OUT or path.is_dir():
            continue
        if path.name.startswith("libggml-cpu-"):
            target = place / "cpu" / path.name
        elif path.name == "llama-server" or ".so" in path.name:
            target = place / path.name
        else:
            continue
        if path.is_symlink():
            target.symlink_to(path.readlink())
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(0o755)
