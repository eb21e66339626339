"""Marks in a file around generated text: finds and replaces that text. Does not generate it."""

from pathlib import Path


def between(text: str, name: str, *, path: Path) -> tuple[str, str, str]:
    """The text before, between and after the marks of `name`. Raises ValueError when a mark is missing."""
    form = "# {}" if path.suffix == ".env" else "<!-- {} -->"
    begin, end = (form.format(f"{name}: {word}") for word in ("begin", "end"))
    before, found_begin, rest = text.partition(begin)
    inside, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{path}: no {begin} … {end}")
    return before + begin, inside, end + after


def put(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks. Raises ValueError when a mark is missing."""
    before, _, after = between(path.read_text(), name, path=path)
    path.write_text(f"{before}\n{text}\n{after}")
