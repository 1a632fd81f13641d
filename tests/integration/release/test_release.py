"""The built release, looked at from outside and run from inside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from alma_image.release import signing
from alma_image.release.build import SBOM_NAME
from alma_image.release.engine import ENGINE_PLACE
from alma_image.release.manifest import read_manifest
from alma_image.release.system_image import BLOCK, assemble
from alma_image.release.system_tree import apply_roles, unpack_tree
from alma_runtime import __version__
from alma_runtime.files import sha256_of
from tests.conftest import Built

pytestmark = pytest.mark.image
MEGABYTE = 1_000_000


def test_every_file_is_the_one_that_was_signed(built: Built) -> None:
    folder = built.release.folder
    manifest = read_manifest(folder, built.release.public_key)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    unsigned = {"manifest.json", "manifest.json.sig", "release.pub"}
    assert found - unsigned == set(manifest.files)
    for name, entry in manifest.files.items():
        assert (folder / name).stat().st_size == entry.size
        assert sha256_of(folder / name) == entry.sha256


def test_the_release_names_its_packages_wheels_and_versions(built: Built) -> None:
    table = json.loads((built.release.folder / "manifest.json").read_bytes())
    assert any(line.startswith("linux-image-amd64 ") for line in table["packages"])
    assert any(line.startswith("prompt_toolkit ") for line in table["wheels"])
    assert table["versions"]["alma"] == __version__
    assert signing.fingerprint(built.release.public_key) == built.release.fingerprint


def test_a_nano_release_is_small(built: Built) -> None:
    total = sum(p.stat().st_size for p in built.release.folder.rglob("*") if p.is_file())
    assert total < 350 * MEGABYTE


def test_the_bill_of_materials_is_valid(built: Built) -> None:
    text = (built.release.folder / SBOM_NAME).read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {component["name"] for component in json.loads(text)["components"]}
    assert {"systemd", "starlette", "llama_cpp_python", "semilla"} <= names


def test_the_verity_tree_belongs_to_the_image(built: Built) -> None:
    image = built.release.folder / "system.img"
    verity = read_manifest(built.release.folder, built.release.public_key).verity
    assert image.stat().st_size == verity.image_size
    assert verity.image_size % BLOCK == 0
    built.sandbox.run(
        ["veritysetup", "verify", f"--hash-offset={verity.hash_offset}", image, image,
         verity.root_hash],
        ro_binds=[image],
    )  # fmt: skip


def test_our_grub_and_shim_are_at_the_revocation_level_of_the_shim(built: Built) -> None:
    """An SBAT level below the one that shim enforces is a stick that boots nowhere."""
    esp = built.release.folder / "esp/EFI/BOOT"
    levels = {}
    for name in ("BOOTX64.EFI", "grubx64.efi"):
        found = re.search(rb"\ngrub,(\d+)", (esp / name).read_bytes())
        levels[name] = int(found.group(1)) if found else 0
    assert levels["grubx64.efi"] >= max(levels["BOOTX64.EFI"], 5)


@pytest.fixture(scope="module")
def system(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The appliance's whole tree, as it lies in the system image."""
    tree = tmp_path_factory.mktemp("system") / "tree"
    tree.mkdir()
    layers = [built.stage(name) for name in ("engine", "wheels", "runtime")]
    assemble(built.sandbox, built.stage("tree-nano") / "tree.tar", layers, tree)
    return tree


def inside(built: Built, tree: Path, *argv: str) -> str:
    done = built.sandbox.run(
        ["chroot", tree, *argv], binds=[tree], into=tree, env={"ALMA_LANG": "en"}
    )
    return done.text


def test_the_program_runs_in_the_appliance(built: Built, system: Path) -> None:
    assert __version__ in inside(built, system, "/usr/bin/alma", "--version")


def test_the_binding_answers_with_the_engines_own_libraries(built: Built, system: Path) -> None:
    code = (
        "import os, ctypes, pathlib\n"
        f"engine = '/{ENGINE_PLACE}'\n"
        "ggml = ctypes.CDLL(engine + '/libggml.so', ctypes.RTLD_GLOBAL)\n"
        "ggml.ggml_backend_load.restype = ctypes.c_void_p\n"
        "assert ggml.ggml_backend_load(os.fsencode(engine + '/cpu/libggml-cpu-x64.so'))\n"
        "os.environ['LLAMA_CPP_LIB_PATH'] = engine\n"
        "import llama_cpp\n"
        "llm = llama_cpp.Llama('/usr/share/alma/models/semilla.gguf', n_ctx=256, verbose=False)\n"
        "print(len(llm('Hola', max_tokens=4)['choices'][0]['text']))\n"
    )
    assert int(inside(built, system, "/usr/bin/python3", "-c", code)) > 0


def test_a_second_run_of_the_roles_changes_nothing(built: Built, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    unpack_tree(built.sandbox, built.stage("tree-nano") / "tree.tar", tree)
    said = apply_roles(built.sandbox, tree, built.profile).text
    recap = re.search(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", said)
    assert recap, said
    assert int(recap.group(1)) > 10
    assert recap.group(2, 3, 4) == ("0", "0", "0")


def test_no_secret_and_no_path_of_this_machine_is_in_the_release(built: Built) -> None:
    manifest = (built.release.folder / "manifest.json").read_text(encoding="utf-8")
    assert str(Path.home()) not in manifest
    assert str(built.release.folder) not in manifest
