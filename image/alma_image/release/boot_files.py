"""The boot files: what lies on the ESP, and GRUB for legacy BIOS.

UEFI: Debian's shim and GRUB, both signed, so Secure Boot may stay on. BIOS: a core image of the
same GRUB that looks for the same menu. The menu is made from `image/boot/grub.cfg`,
`image/keyboards.toml` and the numbers of the system image.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from alma_image.profile import Profile
from alma_image.release.keyboards import KEYBOARDS, Keyboard, read_keyboards
from alma_image.release.sandbox import Sandbox
from alma_image.release.stages import Stage, StageCache
from alma_image.release.system_image import Verity
from alma_image.source import IMAGE, digest_of

MENU = IMAGE / "boot" / "grub.cfg"
SHIM = "usr/lib/shim/shimx64.efi.signed"
GRUB_EFI = "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
GRUB_BIOS = "usr/lib/grub/i386-pc"
CORE_PREFIX = "(,gpt2)/EFI/debian"
CORE_MODULES = (
    "biosdisk", "part_gpt", "part_msdos", "fat", "normal", "linux", "configfile", "echo",
    "test", "sleep", "halt", "reboot", "all_video", "vbe", "vga", "video_bochs", "video_cirrus",
    "gfxterm", "gfxterm_background", "font", "serial", "terminal", "terminfo", "search",
    "loadenv", "minicmd", "ls", "cat",
)  # fmt: skip


def kernel_command_line(profile: Profile, verity: Verity) -> str:
    """What the kernel and systemd are told; `${…}` is filled in by GRUB from stick.cfg."""
    words = [
        "ro quiet loglevel=3 systemd.show_status=false rd.systemd.show_status=false",
        "rd.luks.name=${alma_sys}=alma-system",
        # systemd-cryptsetup spends its first try on keys it might find by itself: three questions.
        "rd.luks.options=${alma_sys}=read-only,password-cache=no,tries=4",
        "rd.luks.name=${alma_keep}=alma-keep",
        "rd.luks.key=${alma_keep}=/dev/mapper/alma-system",
        f"rd.luks.options=${{alma_keep}}=keyfile-offset={verity.image_size},keyfile-size=64,"
        "nofail,headless=yes",
        f"roothash={verity.root_hash}",
        "systemd.verity_root_data=/dev/mapper/alma-system",
        "systemd.verity_root_hash=/dev/mapper/alma-system",
        f"systemd.verity_root_options=hash-offset={verity.hash_offset}",
        "init_on_free=1 noresume efi_pstore.pstore_disable=1 rd.shell=0 rd.emergency=poweroff",
        *(f"console={name}" for name in profile.console),
    ]
    return " ".join(words)


def menu(profile: Profile, verity: Verity, keyboards: tuple[Keyboard, ...]) -> str:
    """The text of grub.cfg."""
    serial = any(name.startswith("ttyS0") for name in profile.console)
    # BIOS shows no «ñ» in text mode, so graphics there. UEFI's own console does, and a mode that
    # GRUB sets past the firmware leaves the kernel's screen garbled (seen in QEMU).
    terminal = (
        "serial --unit=0 --speed=115200\nterminal_input console serial\n"
        "terminal_output console serial"
        if serial
        else 'if [ "$grub_platform" = "pc" ]; then\n    if loadfont unicode; then\n'
        "        set gfxmode=auto\n        terminal_output gfxterm\n    fi\nfi"
    )
    entries = "\n".join(
        f'menuentry "{k.title}" {{\n    alma_start {k.keymap} {k.language}\n}}\n' for k in keyboards
    )
    return (
        MENU.read_text(encoding="utf-8")
        .replace("@MENU_SECONDS@", str(profile.menu_seconds))
        .replace("@TERMINAL@", terminal)
        .replace("@COMMAND_LINE@", kernel_command_line(profile, verity))
        .replace("@ENTRIES@", entries)
    )


def build_boot_files(
    cache: StageCache, profile: Profile, tools: Stage, sandbox: Sandbox, tree: Stage, verity: Verity
) -> Stage:
    """Stage `boot`: the folders `esp` and `bios` of a release."""
    keyboards = read_keyboards()
    text = menu(profile, verity, keyboards)

    def make(result: Path) -> None:
        esp, bios = result / "esp", result / "bios"
        for folder in (esp / "EFI/BOOT", esp / "EFI/debian", esp / "alma", bios):
            folder.mkdir(parents=True)
        shutil.copy(sandbox.tree / SHIM, esp / "EFI/BOOT/BOOTX64.EFI")
        shutil.copy(sandbox.tree / GRUB_EFI, esp / "EFI/BOOT/grubx64.efi")
        (esp / "EFI/debian/grub.cfg").write_text(text, encoding="utf-8")
        shutil.copy(tree.folder / "vmlinuz", esp / "alma/vmlinuz")
        shutil.copy(tree.folder / "initrd.img", esp / "alma/initrd.img")
        # BIOS has no signed GRUB with a font inside; gfxterm needs one to show «ñ».
        (esp / "EFI/debian/fonts").mkdir()
        shutil.copy(sandbox.tree / "usr/share/grub/unicode.pf2", esp / "EFI/debian/fonts")
        shutil.copy(sandbox.tree / GRUB_BIOS / "boot.img", bios)
        sandbox.run(
            ["grub-mkimage", "-O", "i386-pc", "-d", f"/{GRUB_BIOS}", "-p", CORE_PREFIX,
             "-o", bios / "core.img", *CORE_MODULES],
            binds=[bios],
        )  # fmt: skip
        for path in result.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    inputs = {"menu": text, "tree": tree.key, "tools": tools.key, "form": "1",
              "modules": " ".join(CORE_MODULES), "source": digest_of([KEYBOARDS])}  # fmt: skip
    return cache.stage(f"boot-{profile.name}", inputs, make)
