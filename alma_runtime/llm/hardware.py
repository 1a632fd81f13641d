"""The machine we woke up on: processor, memory, and a name for it that gives nobody away."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")
MEMORY_STEP_KIB = 256 << 10  # the kernel's own share differs a little between releases
DMI_NAMES = ("sys_vendor", "product_name", "board_vendor", "board_name")  # never a serial number


@dataclass(frozen=True)
class Machine:
    """Memory in bytes; `cores` are physical ones (performance cores where there are two kinds).

    `fingerprint` is a hash of vendor, product, processor and memory size: equal for equal models
    of PC, and without anything that names one single machine.
    """

    processor: str
    flags: frozenset[str]
    cores: int
    memory_total: int
    memory_available: int
    fingerprint: str


def machine(proc: Path = PROC, sys: Path = SYS) -> Machine:
    """What the kernel tells; unknown parts are empty or 1, never an error."""
    cpuinfo = _fields(proc / "cpuinfo")
    meminfo = _fields(proc / "meminfo")
    processor = cpuinfo.get("model name", "")
    total = _kib(meminfo.get("MemTotal", ""))
    names = [_line(sys / "class/dmi/id" / name) for name in DMI_NAMES]
    rounded = str(round(total / 1024 / MEMORY_STEP_KIB))
    return Machine(
        processor=processor,
        flags=frozenset(cpuinfo.get("flags", "").split()),
        cores=physical_cores(sys),
        memory_total=total,
        memory_available=_kib(meminfo.get("MemAvailable", "")),
        fingerprint=hashlib.sha256("\0".join([*names, processor, rounded]).encode()).hexdigest(),
    )


def memory_available(proc: Path = PROC) -> int:
    """Bytes that a new program could take without swapping (MemAvailable)."""
    return _kib(_fields(proc / "meminfo").get("MemAvailable", ""))


def physical_cores(sys: Path = SYS) -> int:
    """Cores to compute on: one per pair of hyper-threads, and no slow cores of a hybrid one.

    Slow cores would make the fast ones wait after every layer; `cpu_core` exists only on hybrids.
    """
    usable = os.sched_getaffinity(0)
    fast = _cpu_list(_line(sys / "devices/cpu_core/cpus"))
    chosen = usable & fast or usable
    cores = {
        _line(sys / f"devices/system/cpu/cpu{number}/topology/thread_siblings_list") or str(number)
        for number in chosen
    }
    return max(1, len(cores))


def _cpu_list(text: str) -> set[int]:
    """The kernel's list format: `0-3,8`."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _dash, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _fields(path: Path) -> dict[str, str]:
    """`name : value` lines; of a repeated name the first one (the first processor)."""
    fields: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return fields
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _kib(value: str) -> int:
    number = value.split(" ")[0]
    return int(number) * 1024 if number.isdigit() else 0
