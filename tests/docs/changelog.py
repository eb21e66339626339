"""The changelog as its readers need it: what is wrong with its form. How an entry is written: tests/README.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
BREAKING = "Breaking: "
PARTS = ("What", "Whom", "What to do", "Since")
_RELEASE = re.compile(r"\[(?P<version>\d+\.\d+\.\d+)\] - (?P<day>\S+)")
_PART = re.compile(r"^- \*\*(.+?):\*\* \S", re.MULTILINE)
_SINCE = re.compile(r"^- \*\*Since:\*\* (\d{4}-\d{2}-\d{2})\b", re.MULTILINE)
_DATED = re.compile(r"^- \*(\S+):\* ", re.MULTILINE)


@dataclass
class Section:
    """What stands under one heading, the headings below it among its lines."""

    title: str
    text: str = ""


@dataclass
class Release:
    """`title` is `[Unreleased]`, or `[version] - day`."""

    title: str
    sections: list[Section] = field(default_factory=list)

    @property
    def version(self) -> tuple[int, ...] | None:
        """None for what is not released."""
        found = _RELEASE.fullmatch(self.title)
        return tuple(map(int, found["version"].split("."))) if found else None


def releases(text: str) -> list[Release]:
    """All releases, as they stand there."""
    found: list[Release] = []
    for line in text.splitlines():
        if line.startswith("## "):
            found.append(Release(line.removeprefix("## ")))
        elif line.startswith("### ") and found:
            found[-1].sections.append(Section(line.removeprefix("### ")))
        elif found and found[-1].sections:
            found[-1].sections[-1].text += f"{line}\n"
    return found


def faults(text: str) -> list[str]:
    """What is wrong with this changelog, with the heading that it is under."""
    found = releases(text)
    return [*_of_order(found), *(fault for release in found for fault in _of_release(release))]


def _of_order(found: list[Release]) -> Iterator[str]:
    if not found or found[0].title != "[Unreleased]":
        yield "[Unreleased] comes first"
    for release in found[1:]:
        match = _RELEASE.fullmatch(release.title)
        if not match or not _is_day(match["day"]):
            yield f"{release.title}: [version] - YYYY-MM-DD expected"
    for newer, older in pairwise(found[1:]):
        if newer.version and older.version and newer.version <= older.version:
            yield f"{older.title}: the newest release comes first"


def _of_release(release: Release) -> Iterator[str]:
    titles = [section.title for section in release.sections]
    named = [title for title in titles if not title.startswith(BREAKING)]
    unknown = [title for title in named if title not in SECTIONS]
    if unknown:
        yield f"{release.title}: no such section: {', '.join(unknown)}"
    elif named != sorted(set(named), key=SECTIONS.index) or titles != sorted(titles, key=named.__contains__):
        yield f"{release.title}: what breaks first, then each of {', '.join(SECTIONS)} once and in this order"
    for section in release.sections:
        yield from _of_section(section)
    days = [day for section in release.sections for day in _SINCE.findall(section.text)]
    if days != sorted(days, reverse=True):
        yield f"{release.title}: what broke last comes first"


def _of_section(section: Section) -> Iterator[str]:
    if section.title.startswith(BREAKING):
        parts = tuple(_PART.findall(section.text))
        if parts != PARTS:
            yield f"{section.title}: {', '.join(PARTS)} expected, in this order"
        if not all(map(_is_day, _SINCE.findall(section.text) or [""])):
            yield f"{section.title}: Since: YYYY-MM-DD expected"
        return
    if "\n- " not in f"\n{section.text}":
        yield f"{section.title}: has no entry"
    days = _DATED.findall(section.text)
    if not all(map(_is_day, days)) or days != sorted(days, reverse=True):
        yield f"{section.title}: days as YYYY-MM-DD, the newest first"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
