"""Passphrases that a person types, or that a file named by ALMA_PASSPHRASE_FILE holds.

Bytes are what cryptsetup gets, and the same bytes must come out of the keyboard at boot: text is
normalised to NFC (what a console's dead keys compose), and what no prompt can take is refused.
"""

from __future__ import annotations

import getpass
import unicodedata
from pathlib import Path

from alma_runtime.config import settings
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

LONGEST = 512
"""Bytes that cryptsetup and systemd take from a terminal."""
TRIES = 3


def read_passphrase(question: str | None = None) -> bytes:
    """The passphrase of something that exists already, without a final newline.

    Raises:
        AlmaError: it is empty or unusable, or there is neither a file nor a terminal to ask on.
    """
    file = settings().passphrase_file
    if file is not None:
        return _from_file(file)
    return usable(_ask(question or _("Passphrase: ")))


def ask_new_passphrase() -> bytes:
    """A new passphrase: typed twice, or once from the file.

    Raises:
        AlmaError: as `read_passphrase`; or the two were different three times.
    """
    file = settings().passphrase_file
    if file is not None:
        return _from_file(file)
    for _number in range(TRIES):
        first = usable(_ask(_("New passphrase (it is not shown): ")))
        if first == usable(_ask(_("Once more: "))):
            return first
        print(_("They are not the same; once again."))
    raise AlmaError(_("the two passphrases were different three times; nothing was changed"))


def usable(text: str) -> bytes:
    """The bytes of a passphrase.

    Raises:
        AlmaError: nobody could type it at a prompt, or it is empty.
    """
    secret = unicodedata.normalize("NFC", text).encode("utf-8")
    if not secret:
        raise AlmaError(_("an empty passphrase or key protects nothing"))
    if len(secret) > LONGEST:
        raise AlmaError(
            _("the passphrase has {size} bytes, and a prompt takes {longest} at most").format(
                size=len(secret), longest=LONGEST
            )
        )
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise AlmaError(
            _("the passphrase holds a control character or several lines: nobody could type it")
        )
    return secret


def _from_file(path: Path) -> bytes:
    try:
        content = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else _("it is not UTF-8 text")
        raise AlmaError(
            _("{path}: the passphrase cannot be read: {reason}").format(path=path, reason=reason)
        ) from None
    # The reason above is chained to nothing: a decoding error would carry the secret with it.
    return usable(content.removesuffix("\n").removesuffix("\r"))


def _ask(question: str) -> str:
    try:
        with Path("/dev/tty").open("rb"):
            return getpass.getpass(question)
    except OSError as exc:
        raise AlmaError(
            _(
                "there is no terminal to ask the passphrase on; "
                "write it into a file and name the file in ALMA_PASSPHRASE_FILE"
            )
        ) from exc
    except EOFError as exc:
        raise AlmaError(_("no passphrase was typed")) from exc
