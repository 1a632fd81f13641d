"""Profiles: the few choices that make one release different from another (`image/profiles`)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from alma_image.source import IMAGE
from alma_runtime.config import read_toml
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

PROFILES = IMAGE / "profiles"


@dataclass(frozen=True)
class Profile:
    """Sizes in MiB, KDF memory in KiB; `console` as the kernel's `console=` takes it, last wins."""

    name: str
    description: str
    packages: tuple[str, ...]
    console: tuple[str, ...]
    menu_seconds: int
    squashfs_level: int
    kdf_memory_kib: int
    kdf_iterations: int
    kdf_parallel: int
    esp_mib: int
    sys_slack_mib: int
    keep_mib: int
    disk_mib: int

    def as_dict(self) -> dict[str, object]:
        """The profile as it goes into the manifest."""
        return dataclasses.asdict(self)


def profile_names(folder: Path = PROFILES) -> list[str]:
    """Names of all profiles, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_profile(name: str, folder: Path = PROFILES) -> Profile:
    """A profile by name.

    Raises:
        AlmaError: there is no such profile, or its file lacks a key or has one too many.
    """
    if name not in profile_names(folder):
        raise AlmaError(
            _("there is no profile «{name}»; there are: {names}").format(
                name=name, names=", ".join(profile_names(folder))
            )
        )
    path = folder / f"{name}.toml"
    return profile_from(read_toml(path), str(path))


def profile_from(table: dict[str, object], where: str) -> Profile:
    """A profile from its table; `where` names the table in errors."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    try:
        profile = Profile(**values)  # type: ignore[arg-type]
    except TypeError as exc:
        reason = str(exc).replace("Profile.__init__() ", "")
        raise AlmaError(f"{where}: {reason}") from exc
    for field in dataclasses.fields(Profile):
        expected = {"str": str, "int": int}.get(str(field.type), tuple)
        if not isinstance(getattr(profile, field.name), expected):
            raise AlmaError(
                _("{where}: «{key}» is of the wrong kind").format(where=where, key=field.name)
            )
    return profile
