"""Pages of Markdown as their readers see them: headings with anchors, links, prose, code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.paths import ROOT

PACKAGES = ("adapters", "events", "handler", "k8s", "tests")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Link:
    """`path` and `anchor` as written, decoded; either may be empty."""

    path: str
    anchor: str

    def __str__(self) -> str:
        return f"{self.path}#{self.anchor}" if self.anchor else self.path


@dataclass(frozen=True)
class Page:
    """A page, by its file."""

    path: Path

    @property
    def name(self) -> str:
        """The path within the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def _tokens(self) -> list[Token]:
        return _MARKDOWN.parse(self.text)

    @cached_property
    def anchors(self) -> frozenset[str]:
        """The anchors that GitHub makes from the headings."""
        seen: dict[str, int] = {}
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "heading_open":
                anchor = slug(_words(token))
                seen[anchor] = seen.get(anchor, -1) + 1
                if seen[anchor]:
                    seen[f"{anchor}-{seen[anchor]}"] = 0
        return frozenset(seen)

    @property
    def links(self) -> Iterator[Link]:
        """Links into the repository, including images; links to other sites are left out."""
        for token in self._inline():
            target = str(token.attrs.get("href") or token.attrs.get("src") or "")
            if target and not re.match(r"[a-z]+:", target):
                path, _, anchor = target.partition("#")
                yield Link(unquote(path), unquote(anchor))

    def code(self, language: str) -> list[str]:
        """The fenced blocks in this language."""
        return [token.content for token in self._tokens if token.type == "fence" and token.info == language]

    def prose(self) -> str:
        """What a person who reads the page aloud would say: no code blocks and no tables."""
        said, depth = [], 0
        for token in self._tokens:
            depth += {"table_open": 1, "table_close": -1}.get(token.type, 0)
            if token.type == "inline" and not depth:
                said.append(_words(token))
        return "\n".join(said)

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()


def slug(heading: str) -> str:
    """GitHub's anchor of this heading, without the number that a repeated heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def pages() -> list[Page]:
    """Every page of the repository."""
    found = [*ROOT.glob("*.md")]
    for package in PACKAGES:
        found += [path for path in (ROOT / package).rglob("*.md") if "node_modules" not in path.parts]
    return [Page(path) for path in sorted(found)]


def _words(token: Token) -> str:
    """The visible words of inline text: those of links and code spans, but not link targets."""
    shown = {"text", "code_inline"}
    return "".join(
        " " if part.type == "softbreak" else part.content * (part.type in shown) for part in token.children or ()
    )
