"""The units say what they mean: systemd itself reads them, and the lists about them agree."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from alma_image.release.keyboards import read_keyboards
from alma_image.release.sandbox import Sandbox
from alma_image.source import ROLES
from tests.unit.roles.roles import installed, links, units

DRACUT = ROLES / "boot/files/etc/dracut.conf.d/50-alma.conf"
KEYMAPS = "/usr/share/keymaps/alma"
MOST_EXPOSURE = {
    "alma-llm.service": 2.0,
    "alma-console@tty1.service": 2.0,
    "alma-read-through.service": 2.0,
}
PROGRAM = re.compile(r"^Exec\w+=[-+!:@]*(/\S+)", re.MULTILINE)


def initrd_items() -> set[str]:
    """What dracut is told to put into the initrd; the file is read by bash, hence the escapes."""
    text = DRACUT.read_text(encoding="utf-8")
    lists = re.findall(r'^install_items\+="([^"]*)"$', text, re.MULTILINE)
    return {item.replace("\\\\", "\\") for items in lists for item in items.split()}


@pytest.fixture(scope="module")
def root(tools: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """systemd's units and ours, with a file wherever ours start a program."""
    folder = tmp_path_factory.mktemp("units")
    shutil.copytree(
        tools.tree / "usr/lib/systemd/system", folder / "usr/lib/systemd/system", symlinks=True
    )
    for name, source in installed().items():
        target = folder / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for source in units().values():
        for program in PROGRAM.findall(source.read_text(encoding="utf-8")):
            place = folder / program.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch(0o755)
    return folder


@pytest.mark.image
def test_systemd_finds_no_fault_in_any_unit(tools: Sandbox, root: Path) -> None:
    ours = [name for name in installed() if Path(name).name in units() and ".d/" not in name]
    done = tools.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", *ours],
        binds=[root], check=False,
    )  # fmt: skip
    assert len(ours) > 15
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.image
def test_systemd_finds_a_fault_where_there_is_one(tools: Sandbox, root: Path) -> None:
    broken = root / "usr/lib/systemd/system/broken.service"
    broken.write_text("[Service]\nExecStart=/no/such/program\n", encoding="utf-8")
    done = tools.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}",
         "/usr/lib/systemd/system/broken.service"],
        binds=[root], check=False,
    )  # fmt: skip
    assert done.returncode != 0
    broken.unlink()


@pytest.mark.image
@pytest.mark.parametrize(("unit", "most"), MOST_EXPOSURE.items())
def test_services_are_locked_in(tools: Sandbox, root: Path, unit: str, most: float) -> None:
    said = tools.run(
        ["systemd-analyze", "security", "--offline=yes", f"--root={root}", "--no-pager", unit],
        binds=[root], check=False,
    ).text  # fmt: skip
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert level is not None, said
    assert float(level[1]) <= most


def test_the_initrd_holds_every_keyboard_of_the_menu() -> None:
    keymaps = {keyboard.keymap for keyboard in read_keyboards()}
    assert {f"{KEYMAPS}/{name}.map" for name in keymaps} == {
        item for item in initrd_items() if item.startswith(KEYMAPS)
    }
    drop_in = units_text("systemd-cryptsetup@alma\\x2dsystem.service.d")
    assert set(re.findall(r"alma-keymap@(\w+)\.service", drop_in)) == keymaps


def units_text(folder: str) -> str:
    """The drop-ins of one unit."""
    return "".join(
        path.read_text(encoding="utf-8") for name, path in installed().items() if folder in name
    )


def test_what_is_ours_in_the_initrd_exists() -> None:
    ours = {item for item in initrd_items() if "alma" in item or "live" in item}
    there = set(installed()) | set(links())
    assert {item for item in ours if not item.startswith(KEYMAPS)} - there == set()


def test_every_text_is_in_the_initrd_and_in_both_languages() -> None:
    words = {n: p for n, p in installed().items() if n.startswith("/usr/share/alma/words/")}
    assert set(words) <= initrd_items()
    for path in words.values():
        text = path.read_text(encoding="utf-8")
        assert re.search(r"\b(El|SISTEMA|Escribe)\b", text)
        assert re.search(r"\b(The|THE|Type)\b", text)
        assert all(len(line) <= 80 for line in text.splitlines())


def test_every_reason_to_stop_has_its_words() -> None:
    everything = "".join(
        path.read_text(encoding="utf-8")
        for name, path in installed().items()
        if "/systemd/" in name or "/rules.d/" in name
    )
    reasons = set(re.findall(r"alma-stop@(\w+)\.service", everything))
    assert {"locked", "tampered", "broken"} <= reasons
    assert {f"/usr/share/alma/words/{reason}.txt" for reason in reasons} <= set(installed())


def test_every_service_that_may_be_enabled_is_in_a_preset() -> None:
    presets = "".join(
        path.read_text(encoding="utf-8") for n, path in installed().items() if n.endswith(".preset")
    )
    enabled = set(re.findall(r"^enable (\S+)$", presets, re.MULTILINE))
    wanted = {
        name for name, path in units().items() if "[Install]" in path.read_text(encoding="utf-8")
    }
    assert wanted <= enabled
    assert presets.count("disable *") == 1


def test_no_way_to_a_shell_is_left() -> None:
    masked = {path for path, target in links().items() if target == "/dev/null"}
    for unit in ("emergency.service", "rescue.service", "debug-shell.service"):
        assert f"/etc/systemd/system/{unit}" in masked
    for name, path in units().items():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^Exec\w+=\S*/(ba|da)?sh\b|sulogin", text, re.MULTILINE), name
