"""Paragraphs of documentation, read straight out of Debian packages.

A `.deb` is an `ar` archive (deb(5)) whose member `data.tar.*` holds the files. Reading it here
instead of installing it keeps the machine as it was and needs no program besides Python.
"""

import hashlib
import io
import re
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from recipe.faults import RecipeFault

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60  # bytes: name 16, mtime 12, uid 6, gid 6, mode 8, size 10, end 2
_BLOCK_TAGS = frozenset({"p", "dd", "dt", "td", "h1", "h2", "h3", "li", "div", "br"})
_SKIPPED_TAGS = frozenset({"pre", "script", "style", "title"})
_SENTENCE = re.compile(r"[A-ZÁÉÍÓÚÑ¿¡«\"(].*[.:!?»)]$", re.DOTALL)


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


_STOP_WORDS = {
    "es": _words("de la que el en los un por con una para las no se del al"),
    "en": _words("the of to and a in is that for it you as are this be with"),
}
_OTHER = {"es": "en", "en": "es"}


@dataclass(frozen=True)
class Package:
    """A pinned Debian package; `folders` maps a language to the folder of its HTML pages."""

    name: str
    epoch: int | None
    version: str
    sha256: str
    folders: dict[str, str]

    @property
    def file_name(self) -> str:
        """As `apt-get download` names it: the colon after an epoch is written %3a."""
        epoch = "" if self.epoch is None else f"{self.epoch}%3a"
        return f"{self.name}_{epoch}{self.version}_all.deb"

    @property
    def full_version(self) -> str:
        return self.version if self.epoch is None else f"{self.epoch}:{self.version}"


def read_packages(table: Path) -> list[Package]:
    """The packages that `texts/prose.toml` pins."""
    entries = tomllib.loads(table.read_text(encoding="utf-8"))["package"]
    return [
        Package(
            name=entry["name"],
            epoch=entry.get("epoch"),
            version=entry["version"],
            sha256=entry["sha256"],
            folders={language: entry[language] for language in ("es", "en") if language in entry},
        )
        for entry in entries
    ]


def paragraphs(packages: list[Package], folder: Path) -> dict[str, list[str]]:
    """Distinct paragraphs per language, in a fixed order; refuses a missing or altered package."""
    found: dict[str, dict[str, None]] = {"es": {}, "en": {}}
    for package in packages:
        members = _members(_package_bytes(package, folder))
        for path, page in members:
            for language, prefix in package.folders.items():
                if path.startswith(prefix) and path.endswith(".html"):
                    found[language].update(dict.fromkeys(_page_paragraphs(page, language)))
    return {language: list(texts) for language, texts in found.items()}


def _package_bytes(package: Package, folder: Path) -> bytes:
    path = folder / package.file_name
    if not path.is_file():
        raise RecipeFault(
            f"{path} is missing: run `apt-get download {package.name}={package.full_version}` there"
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != package.sha256:
        raise RecipeFault(f"{path} is not the pinned package: sha256 differs from texts/prose.toml")
    return data


def _members(deb: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each regular file inside a `.deb`, sorted by path."""
    with tarfile.open(fileobj=io.BytesIO(_data_archive(deb))) as archive:
        files = sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name)
        for member in files:
            handle = archive.extractfile(member)
            if handle is not None:
                yield member.name.removeprefix("./"), handle.read()


def _data_archive(deb: bytes) -> bytes:
    if not deb.startswith(_AR_MAGIC):
        raise RecipeFault("a package file is no Debian package: it lacks the ar signature")
    at = len(_AR_MAGIC)
    while at + _AR_HEADER <= len(deb):
        header = deb[at : at + _AR_HEADER]
        name, size = header[:16].decode("ascii").strip(), int(header[48:58])
        at += _AR_HEADER
        if name.startswith("data.tar"):
            return deb[at : at + size]
        at += size + size % 2  # members start at even offsets
    raise RecipeFault("a package file holds no data archive: download it again")


class _Paragraphs(HTMLParser):
    """Collects the text of paragraphs and leaves out listings."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.done: list[str] = []
        self._text: list[str] = []
        self._inside = False
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED_TAGS:
            self._skipping += 1
        if tag in _BLOCK_TAGS:
            self._finish()
            # DocBook writes <p>; Publican, which made the handbook, writes <div class="para">.
            self._inside = tag == "p" or ("class", "para") in attrs

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED_TAGS:
            self._skipping = max(0, self._skipping - 1)
        if tag in _BLOCK_TAGS:
            self._finish()
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside and not self._skipping:
            self._text.append(data)

    def _finish(self) -> None:
        self.done.append(" ".join("".join(self._text).split()))
        self._text.clear()


def _page_paragraphs(page: bytes, language: str) -> Iterator[str]:
    parser = _Paragraphs()
    parser.feed(page.decode("utf-8", errors="replace"))
    parser.close()
    for text in parser.done:
        if 60 <= len(text) <= 1500 and _SENTENCE.match(text) and _is_language(text, language):
            yield text


def _is_language(text: str, language: str) -> bool:
    """Whether its stop words clearly outnumber the other's (untranslated parts stay out)."""
    words = [word.strip(".,;:()«»\"'").lower() for word in text.split()]
    own = sum(word in _STOP_WORDS[language] for word in words)
    other = sum(word in _STOP_WORDS[_OTHER[language]] for word in words)
    return own > 2 * other and own >= len(words) * 0.12
