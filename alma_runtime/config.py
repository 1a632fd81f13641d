"""The one place that reads the environment and `system/alma.toml`."""

from __future__ import annotations

import contextlib
import os
import pwd
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma_runtime.errors import AlmaError

DEFAULT_ROOT = Path("/mnt/ALMA_RESIST")
DEFAULT_ENGINE_DIR = Path("/usr/lib/alma/engine")
DEFAULT_MODELS_DIR = Path("/usr/share/alma/models")
DEFAULT_MODELS_LOCK = Path("/usr/share/alma/models.lock")
DEFAULT_RUN_DIR = Path("/run/alma")
DEFAULT_KEEP_DIR = Path("/mnt/alma-keep")


@dataclass(frozen=True)
class Settings:
    """What the surroundings say; every value has a default that is right on the appliance."""

    root: Path = DEFAULT_ROOT
    engine_dir: Path = DEFAULT_ENGINE_DIR
    models_dir: Path = DEFAULT_MODELS_DIR
    models_lock: Path = DEFAULT_MODELS_LOCK
    keep_dir: Path = DEFAULT_KEEP_DIR
    run_dir: Path = DEFAULT_RUN_DIR
    cache_dir: Path = Path()
    config_dir: Path = Path()
    language: str = "es"
    terminal: str = ""  # TERM
    passphrase_file: Path | None = None
    archive: str | None = None
    notify_socket: str | None = None  # systemd's, for services of Type=notify


def language_of(environment: dict[str, str]) -> str:
    """`en` where the locale asks for English, else `es`: our people are Spanish speakers first."""
    for name in ("ALMA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment.get(name, "")
        if value:
            return "en" if value.lower().startswith("en") else "es"
    return "es"


def kernel_language(command_line: Path = Path("/proc/cmdline")) -> str:
    """What the boot menu chose (`alma.lang=`); empty on any machine not started by it."""
    try:
        words = command_line.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return ""
    chosen = [word.removeprefix("alma.lang=") for word in words if word.startswith("alma.lang=")]
    return chosen[-1] if chosen else ""


def settings(environment: dict[str, str] | None = None) -> Settings:
    """Settings from the process environment (or from the one given)."""
    env = dict(os.environ) if environment is None else environment

    def path(name: str, default: Path) -> Path:
        return Path(env[name]) if env.get(name) else default

    home = _home(env)
    passphrase = env.get("ALMA_PASSPHRASE_FILE")
    return Settings(
        root=path("ALMA_ROOT", DEFAULT_ROOT),
        engine_dir=path("ALMA_ENGINE_DIR", DEFAULT_ENGINE_DIR),
        models_dir=path("ALMA_MODELS_DIR", DEFAULT_MODELS_DIR),
        models_lock=path("ALMA_MODELS_LOCK", DEFAULT_MODELS_LOCK),
        keep_dir=path("ALMA_KEEP_DIR", DEFAULT_KEEP_DIR),
        run_dir=path("ALMA_RUN_DIR", DEFAULT_RUN_DIR),
        cache_dir=path("ALMA_CACHE_DIR", path("XDG_CACHE_HOME", home / ".cache") / "alma"),
        config_dir=path("ALMA_CONFIG_DIR", path("XDG_CONFIG_HOME", home / ".config") / "alma"),
        language=language_of({"ALMA_LANG": kernel_language(), **env}),
        terminal=env.get("TERM", ""),
        passphrase_file=Path(passphrase) if passphrase else None,
        archive=env.get("ALMA_ARCHIVE") or None,
        notify_socket=env.get("NOTIFY_SOCKET") or None,
    )


def _home(environment: dict[str, str]) -> Path:
    """The person's home, also under sudo: their key and cache are there, not in root's."""
    user = environment.get("SUDO_USER")
    if user and os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return Path(pwd.getpwnam(user).pw_dir)
    return Path(environment.get("HOME") or "/")


def program_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The small, known environment that every external program of ours gets."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TERM", "TMPDIR")}
    kept.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return {**kept, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **(extra or {})}


def network_environment() -> dict[str, str]:
    """What a downloading program (pip, apt) may additionally need from the person's set-up."""
    names = ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "requests_ca_bundle")
    return {
        k: v for k, v in os.environ.items() if k.lower() in names or k.upper().startswith("PIP_")
    }


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict.

    Raises:
        AlmaError: it cannot be read or parsed; the message names the file and the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise AlmaError(f"{path}: no existe / does not exist") from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise AlmaError(f"{path}: {exc}") from exc
