"""The published answer to «where is what I say kept?»."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_runtime.node import Node, read_node, write_node


def test_comes_back_as_written_and_everybody_may_read_it(tmp_path: Path) -> None:
    node = Node("disk", "el disco está abierto")
    write_node(tmp_path / "run", node)
    assert read_node(tmp_path / "run") == node
    assert (tmp_path / "run/node.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["", "[]", '{"node": "moon", "reason": ""}', '{"node": "ram"}'])
def test_nonsense_is_no_answer(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.json").write_text(text)
    assert read_node(tmp_path) is None
