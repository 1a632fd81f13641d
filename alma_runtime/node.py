"""Which of the three places holds what is said: the disk, the stick's keep, or RAM.

`<run_dir>/node.json` = {"node": "disk"|"keep"|"ram", "reason": "<one sentence>"}, written at boot,
readable by everybody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from alma_runtime.files import write_file

DISK, KEEP, RAM = "disk", "keep", "ram"
FILE = "node.json"


@dataclass(frozen=True)
class Node:
    """Where the tree lives, and one sentence for a person that says why."""

    node: str
    reason: str


def write_node(run_dir: Path, node: Node) -> None:
    """Publish the answer for this boot."""
    run_dir.mkdir(parents=True, exist_ok=True)
    write_file(run_dir / FILE, json.dumps(asdict(node), ensure_ascii=False) + "\n", mode=0o644)


def read_node(run_dir: Path) -> Node | None:
    """What was published; none where nothing was (a mother machine, or a damaged file)."""
    try:
        said = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        node = Node(node=str(said["node"]), reason=str(said["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return node if node.node in (DISK, KEEP, RAM) else None
