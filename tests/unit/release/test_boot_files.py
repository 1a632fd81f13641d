"""The boot menu: every keyboard, and a command line that names this release and no other."""

from __future__ import annotations

import pytest

from alma_image.profile import profile_names, read_profile
from alma_image.release.boot_files import kernel_command_line, menu
from alma_image.release.keyboards import read_keyboards
from alma_image.release.system_image import Verity

VERITY = Verity(root_hash="12" * 32, hash_offset=40960, image_size=81920)


@pytest.mark.parametrize("name", profile_names())
def test_the_menu_is_complete(name: str) -> None:
    text = menu(read_profile(name), VERITY, read_keyboards())
    assert "@" not in text.replace("systemd-cryptsetup@", "")
    for keyboard in read_keyboards():
        assert f"alma_start {keyboard.keymap} {keyboard.language}" in text


def test_spanish_latin_american_and_us_keyboards_are_offered() -> None:
    assert {"es", "latam", "us"} <= {k.keymap for k in read_keyboards()}


def test_the_command_line_names_the_root_hash_and_where_the_key_lies() -> None:
    words = kernel_command_line(read_profile("nano"), VERITY).split()
    assert f"roothash={VERITY.root_hash}" in words
    assert "systemd.verity_root_options=hash-offset=40960" in words
    assert (
        "rd.luks.options=${alma_keep}=keyfile-offset=81920,keyfile-size=64,nofail,headless=yes"
        in words
    )


def test_no_word_of_the_command_line_reaches_the_real_systems_crypttab() -> None:
    # luks.* without rd. makes systemd ignore every crypttab line there (seen).
    words = kernel_command_line(read_profile("portable"), VERITY).split()
    assert not [word for word in words if word.startswith("luks.")]
    system = [word for word in words if word.startswith("rd.luks.options=${alma_sys}")]
    assert len(system) == 1
    assert "password-cache=no" in system[0]


def test_only_the_profile_for_tests_speaks_over_a_serial_line() -> None:
    assert "ttyS0" in kernel_command_line(read_profile("nano"), VERITY)
    assert "ttyS0" not in kernel_command_line(read_profile("portable"), VERITY)
