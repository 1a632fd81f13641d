"""Which builds of the engine's arithmetic this processor can run, best first."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from alma_runtime.config import read_toml

TABLE = Path(__file__).with_name("cpu_variants.toml")


@dataclass(frozen=True)
class Variant:
    """One build of the arithmetic: `name` as in libggml-cpu-<name>.so, flags of /proc/cpuinfo."""

    name: str
    score: int
    flags: frozenset[str]


def variants(table: Path = TABLE) -> tuple[Variant, ...]:
    """Every variant that is known, in the table's order (best first)."""
    return tuple(
        Variant(entry["name"], entry["score"], frozenset(entry["flags"]))
        for entry in read_toml(table)["variant"]
    )


def library(engine_dir: Path, variant: Variant) -> Path:
    """Where a variant lies: in a folder of its own, which the engine never searches by itself."""
    return engine_dir / "cpu" / f"libggml-cpu-{variant.name}.so"


def usable(engine_dir: Path, flags: Set[str]) -> tuple[Variant, ...]:
    """The variants that are installed and that a processor with these flags can run."""
    return tuple(v for v in variants() if v.flags <= flags and library(engine_dir, v).is_file())
