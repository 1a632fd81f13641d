"""`llm_model.json`: what the person has fixed by hand. Empty or absent means: choose for me."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

LIMITS = {"context": (256, 1 << 20), "threads": (1, 1024)}


@dataclass(frozen=True)
class Wishes:
    """Model by its id in the lock, context in tokens, threads of computation; None: automatic."""

    model: str | None = None
    context: int | None = None
    threads: int | None = None


def read_wishes(path: Path) -> Wishes:
    """What the file says; no file, no wishes.

    Raises:
        AlmaError: the file is broken; the message has the line or the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return Wishes()
    except OSError as exc:
        raise _broken(path, exc.strerror or str(exc)) from exc
    except UnicodeDecodeError as exc:
        raise _broken(path, _("it is not UTF-8 text")) from exc
    except json.JSONDecodeError as exc:
        raise _broken(
            path, _("line {line}: {reason}").format(line=exc.lineno, reason=exc.msg)
        ) from exc
    if not isinstance(data, dict):
        raise _broken(path, _("it must be an object: {{…}}").format())
    return Wishes(**{name: _checked(path, name, value) for name, value in data.items()})


def _checked(path: Path, name: str, value: Any) -> Any:
    known = [f.name for f in fields(Wishes)]
    if name not in known:
        reason = _("«{name}» is unknown; known are: {known}")
        raise _broken(path, reason.format(name=name, known=", ".join(known)))
    if value is None:
        return None
    if name == "model":
        if not isinstance(value, str) or not value:
            raise _broken(path, _("«model» must be the id of a model"))
        return value
    low, high = LIMITS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        reason = _("«{name}» must be a whole number from {low} to {high}")
        raise _broken(path, reason.format(name=name, low=low, high=high))
    return value


def _broken(path: Path, reason: str) -> AlmaError:
    return AlmaError(_("{path}: {reason}").format(path=path, reason=reason))
