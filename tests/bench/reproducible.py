"""`make reproducible`: two full builds from empty caches in two folders, byte for byte."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alma_runtime.config import settings
from tests.checkout import build, copy_checkout, release_contents


def main() -> int:
    """Nothing is shared, not even the downloads."""
    settings().cache_dir.mkdir(parents=True, exist_ok=True)
    found = []
    for place in ("first", "second/deeper"):
        with tempfile.TemporaryDirectory(dir=settings().cache_dir) as name:
            work = Path(name) / place
            work.mkdir(parents=True)
            out = work / "out" / "release"
            build(copy_checkout(work / "checkout"), work / "cache", out)
            found.append(release_contents(out))
            print(f"{place}: built", flush=True)
    different = sorted(k for k in found[0].keys() | found[1] if found[0].get(k) != found[1].get(k))
    print("the same, byte for byte" if not different else f"different: {', '.join(different)}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
