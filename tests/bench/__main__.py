"""`make bench`: what building and booting cost. Prints; asserts nothing.

python -m tests.bench            everything (about half an hour)
python -m tests.bench build      only this part: build, sizes or boot
"""

from __future__ import annotations

import sys

from tests.bench import boot_times, build_times, file_systems

PARTS = {"build": build_times.main, "sizes": file_systems.main, "boot": boot_times.main}


def main(names: list[str]) -> int:
    """Run the parts named, or all."""
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"bench: {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for name in names or PARTS:
        print(f"\n== {name}", flush=True)
        PARTS[name]()
    return 0


sys.exit(main(sys.argv[1:]))
