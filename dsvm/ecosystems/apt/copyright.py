"""What a Debian package says of its licences: /usr/share/doc/PACKAGE/copyright.

https://www.debian.org/doc/debian-policy/ch-docs.html#copyright-information
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from debian.arfile import ArError, ArFile
from debian_inspector.copyright import (
    CopyrightFilesParagraph,
    CopyrightHeaderParagraph,
    DebianCopyright,
    is_machine_readable_copyright,
)

from dsvm.ecosystems.licenses.names import debian, own_name
from dsvm.ecosystems.licenses.reading import inner_name, members, plain_faults, shown, stated
from dsvm.ecosystems.licenses.texts import recognised
from dsvm.model import Pin, Stated, all_of

DOC = PurePosixPath("usr/share/doc")
OTHER = re.compile(r"usr/share/doc/([a-z0-9][a-z0-9+.-]+)(?:/copyright)?")
AREA = re.compile(r"pool/(?:updates/)?([a-z-]+)/")


def licenses(pin: Pin, artefact: Path) -> Stated:
    """What a package says of its licences, or whose terms are its own."""
    place = f"{DOC}/{pin.name}/copyright"
    try:
        text, other = _copyright(artefact, pin.name)
    except ValueError as error:
        return Stated(file=place, why=shown(str(error)))
    if other is not None:
        return Stated(same_as=other, said=f"see {other}", file=place)
    if text is None:
        return Stated(file=place, why="it has no copyright file")
    return read(text, place, own_prefix(pin))


def own_prefix(pin: Pin) -> str:
    """What names that only a package knows begin with: the archive and the area of it, which say who looked at them."""
    area = AREA.match(pin.file)
    return f"{pin.registry}.{area[1] if area else 'other'}."


def read(text: str, place: str, prefix: str) -> Stated:
    """A copyright file, in the form that machines read or in any other."""
    if not is_machine_readable_copyright(text):
        return stated(recognised(text), text, place, "no licence is recognised in its text", by_words=True)
    try:
        paragraphs = DebianCopyright.from_text(text).paragraphs
    except Exception as error:  # of any class: its parser raises what it happens to meet
        return stated(None, text, place, f"it cannot be read: {type(error).__name__}: {error}")
    named = [*_named(paragraphs)]
    found = {words: debian(words, lambda word: own_name(prefix, word)) for _, words in named}
    strange = sorted(words for words, one in found.items() if one is None)
    main = [found[words] for files, words in named if files == "*"]
    expression = all_of(one for one in found.values() if one is not None)
    if not named:
        return stated(recognised(text), text, place, "it names no licence", by_words=True)
    return Stated(
        expression=expression,
        main=all_of(one for one in main if one is not None) if None not in main else None,
        said=shown("; ".join(dict.fromkeys(words for _, words in named))),
        file=place,
        why=shown(f"no licence is known by these words: {'; '.join(strange)}") if strange else "",
    )


def _named(paragraphs: Sequence[object]) -> Iterator[tuple[str, str]]:
    """(files, short names of licences) of a copyright file; for all files, `*`."""
    for one in paragraphs:
        words = str(getattr(getattr(one, "license", None), "name", None) or "").strip()
        if not words:
            continue
        if isinstance(one, CopyrightFilesParagraph):
            yield " ".join(map(str, one.files.values or ())), words
        elif isinstance(one, CopyrightHeaderParagraph):
            yield "*", words


def _copyright(artefact: Path, package: str) -> tuple[str | None, str | None]:
    """The text of a package's copyright file, or the package that it links to. Raises ValueError."""
    folder = f"{DOC}/{package}"
    with plain_faults(), artefact.open("rb") as file:
        try:
            parts = ArFile(fileobj=file)
            name = next((one for one in parts.getnames() if one.startswith("data.tar")), None)
            part = parts.getmember(name) if name is not None else None
        except ArError as error:
            raise ValueError(str(error)) from error
        if part is None:
            raise ValueError("it is no Debian package: it has no data.tar")
        for member, text in members(part, artefact.stat().st_size):
            name = inner_name(member.name)
            if name not in (folder, f"{folder}/copyright"):
                continue
            if member.issym() or member.islnk():
                return None, _other(name, member.linkname, hard=member.islnk())
            if member.isreg():
                content = text()
                if content is None:
                    raise ValueError("its copyright file is too large")
                return content, None
    return None, None


def _other(place: str, target: str, *, hard: bool) -> str:
    """The package in whose folder a link ends. Raises ValueError for one that leads elsewhere."""
    begin = PurePosixPath() if hard or target.startswith("/") else PurePosixPath(place).parent
    parts: list[str] = []
    for part in (begin / inner_name(target)).parts if hard or target.startswith("/") else (begin / target).parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    match = OTHER.fullmatch("/".join(parts))
    if match is None or f"{DOC}/{match[1]}" == place:
        raise ValueError(f"its copyright file is a link to {target}")
    return match[1]
