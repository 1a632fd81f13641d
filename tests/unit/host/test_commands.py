"""The commands as a person or a program types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from alma_runtime.cli import gather
from alma_runtime.errors import AlmaError
from alma_runtime.node import Node, write_node
from alma_runtime.tree import init_tree


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALMA_RUN_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def alma(root: Path, *words: str) -> str:
    result = CliRunner().invoke(gather(), ["--root", str(root), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_status_tells_programs_where_the_tree_is(tmp_path: Path, run_dir: Path) -> None:
    tree = init_tree(tmp_path / "tree")
    write_node(run_dir, Node("keep", "no hay disco"))
    said = json.loads(alma(tree.root, "host", "status", "--json"))
    assert (said["node"], said["reason"]) == ("keep", "no hay disco")
    assert (said["root"], said["mounted"], said["disk_open"]) == (str(tree.root), False, False)
    assert 0 < said["free"] <= said["size"]


def test_status_of_a_place_without_a_tree_is_no_error(tmp_path: Path, run_dir: Path) -> None:
    said = json.loads(alma(tmp_path / "none", "disk", "status", "--json"))
    assert (said["node"], said["size"]) == (None, None)
    assert str(tmp_path / "none") in alma(tmp_path / "none", "host", "status")


def test_closing_what_is_not_open_is_one_sentence(tmp_path: Path, run_dir: Path) -> None:
    with pytest.raises(AlmaError) as caught:
        alma(tmp_path, "disk", "close")
    assert ("sudo" in str(caught.value)) == (os.geteuid() != 0)
