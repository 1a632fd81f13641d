"""`image/system.lock` is read strictly: a pin is whole or the build does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_image.profile import profile_names
from alma_image.release.lock import Package, read_lock, write_lock
from alma_runtime.errors import AlmaError

BASH = Package("bash", "5.2-1", "amd64", "debian", "pool/b/bash.deb", 10, "ab" * 32)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_lock({"tools": [BASH], "nano": [BASH]}, tmp_path / "lock")
    lock = read_lock(tmp_path / "lock")
    assert lock.packages("nano") == lock.packages("tools") == (BASH,)
    assert lock.epoch > 1_700_000_000


def test_the_repositorys_lock_pins_the_tools_and_every_profile() -> None:
    lock = read_lock()
    for name in ("tools", *profile_names()):
        assert len(lock.packages(name)) > 50


@pytest.mark.parametrize(
    "line",
    [
        "tools bash 5.2 amd64 debian pool/b.deb 10",
        "tools bash 5.2 amd64 debian pool/b.deb ten " + "ab" * 32,
        "tools bash 5.2 amd64 debian pool/b.deb 10 abcd",
        "tools bash 5.2 amd64 debian ../../etc/b.deb 10 " + "ab" * 32,
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "lock"
    path.write_text(f"epoch 1\n{line}\n", encoding="utf-8")
    with pytest.raises(AlmaError, match=f"{path.name}.* 2"):
        read_lock(path)


def test_a_missing_lock_or_epoch_or_set_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AlmaError, match="--update-lock"):
        read_lock(tmp_path / "none")
    (tmp_path / "lock").write_text("", encoding="utf-8")
    with pytest.raises(AlmaError, match="epoch"):
        read_lock(tmp_path / "lock")
    with pytest.raises(AlmaError, match="nothing-such"):
        read_lock().packages("nothing-such")
