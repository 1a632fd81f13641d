"""Profiles are data; a wrong one is refused with the key's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_image.profile import profile_names, read_profile
from alma_runtime.errors import AlmaError


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_of_the_repository_reads(name: str) -> None:
    profile = read_profile(name)
    assert profile.name == name
    assert profile.kdf_iterations >= 4
    assert profile.esp_mib >= 34, "a smaller FAT is not FAT32"


def test_an_unknown_profile_lists_those_that_exist() -> None:
    with pytest.raises(AlmaError, match="nano, portable"):
        read_profile("pocket")


@pytest.mark.parametrize(
    ("change", "key"),
    [("kdf_iterations = 4", "kdf_iterations"), ("keep_mib = 64", "keep_mib")],
)
def test_a_missing_or_misspelt_or_mistyped_key_is_named(
    tmp_path: Path, change: str, key: str
) -> None:
    text = (Path(__file__).parents[3] / "image/profiles/nano.toml").read_text(encoding="utf-8")
    for bad in ("", change.replace(key, key + "x"), f'{key} = "four"'):
        assert change in text
        (tmp_path / "nano.toml").write_text(text.replace(change, bad), encoding="utf-8")
        with pytest.raises(AlmaError, match=key):
            read_profile("nano", tmp_path)
