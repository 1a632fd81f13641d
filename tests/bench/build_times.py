"""Seconds per stage, cold and warm, and for a rebuild after one changed runtime file."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from alma_runtime.config import settings
from tests.checkout import build, copy_checkout, share, touch_runtime


def total(stages: dict[str, Any]) -> float:
    return float(sum(stage["seconds"] for stage in stages.values()))


def main() -> None:
    """Cold shares only what was downloaded before."""
    settings().cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings().cache_dir) as name:
        work = Path(name)
        checkout = copy_checkout(work / "checkout")
        cache, out = work / "cache", work / "out" / "release"
        share(settings().cache_dir, cache, ("debs", "sources"))
        cold = build(checkout, cache, out)
        started = time.monotonic()
        warm = build(checkout, cache, out)
        warm_seconds = time.monotonic() - started
        touch_runtime(checkout)
        changed = build(checkout, cache, out)
        size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{'stage':<14}{'cold':>10}{'warm':>10}{'runtime changed':>18}")
    for stage, numbers in cold.items():
        print(
            f"{stage:<14}{numbers['seconds']:>9.1f}s{warm[stage]['seconds']:>9.2f}s"
            f"{changed[stage]['seconds']:>17.1f}s"
        )
    print(f"{'all':<14}{total(cold):>9.1f}s{total(warm):>9.2f}s{total(changed):>17.1f}s")
    print(f"warm, the whole command: {warm_seconds:.1f} s")
    print(f"runtime changed / cold: {total(changed) / total(cold):.3f}")
    print(f"release: {size / 1e6:.1f} MB")
