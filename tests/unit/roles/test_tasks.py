"""What tasks may use, and that what a role declares is what it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alma_image.source import IMAGE, ROLES
from tests.unit.roles.roles import NAMES, TASK_FILES, read

OURS = {"overlay", "exit_initrd"}
NEVER = {"ansible.builtin.shell", "ansible.builtin.raw", "ansible.builtin.script"}
KEYWORDS = {
    "name", "tags", "when", "loop", "loop_control", "register", "changed_when", "notify", "vars",
    "become", "check_mode",
}  # fmt: skip
COMMANDS = {"ansible.builtin.command"}


def tasks() -> list[tuple[str, dict[str, Any]]]:
    """Every task with the file it is in."""
    return [(str(p.relative_to(ROLES)), task) for p in TASK_FILES for task in read(p)]


def module_of(task: dict[str, Any]) -> str:
    """The one key of a task that is no keyword."""
    (module,) = set(task) - KEYWORDS
    return module


def test_there_are_roles_and_tasks() -> None:
    assert {"base", "boot", "storage", "engine", "console", "amnesia"} <= set(NAMES)
    assert len(tasks()) > 10


@pytest.mark.parametrize(("place", "task"), tasks())
def test_every_task_has_a_name_and_uses_no_shell(place: str, task: dict[str, Any]) -> None:
    assert task.get("name"), place
    module = module_of(task)
    assert module in OURS or module.startswith("ansible.builtin."), place
    assert module not in NEVER, place


@pytest.mark.parametrize(("place", "task"), tasks())
def test_a_command_says_when_it_changed_something(place: str, task: dict[str, Any]) -> None:
    if module_of(task) in COMMANDS:
        assert "changed_when" in task, place


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_argument_specs_name_the_same_options(role: str) -> None:
    options = read(ROLES / role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = ROLES / role / "defaults/main.yml"
    values: dict[str, Any] = read(defaults) if defaults.exists() else {}
    assert set(options) == set(values)
    for name, value in values.items():
        assert name.startswith(f"{role}_")
        assert options[name]["description"]
        assert "default" not in options[name], "never applied by Ansible, so it drifts"
        types = {"str": str, "int": int, "bool": bool, "list": list, "path": str}
        assert isinstance(value, types[options[name]["type"]])


@pytest.mark.parametrize("role", NAMES)
def test_internals_are_marked_as_such(role: str) -> None:
    internals = ROLES / role / "vars/main.yml"
    if internals.exists():
        assert all(name.startswith(f"__{role}_") for name in read(internals))


@pytest.mark.parametrize("playbook", ["appliance.yml", "mother.yml"])
def test_playbooks_name_roles_that_exist(playbook: str) -> None:
    for play in read(IMAGE / playbook):
        assert set(play["roles"]) <= set(NAMES)


def test_every_role_is_used() -> None:
    used = {
        role
        for name in ("appliance.yml", "mother.yml")
        for play in read(IMAGE / name)
        for role in play["roles"]
    }
    assert used == set(NAMES)


def test_files_hold_no_links() -> None:
    """A link in `files/` would be read through, here and in the builder's digests."""
    links = [path for path in Path(ROLES).rglob("*") if path.is_symlink()]
    assert links == []
