"""The marks between which a file holds what is generated: finding and changing it. Makes none of it."""

from pathlib import Path


def between(text: str, name: str, *, path: Path) -> tuple[str, str, str]:
    """What stands before, between and after the marks of `name`. Raises ValueError where a mark is missing."""
    form = "# {}" if path.suffix == ".env" else "<!-- {} -->"
    begin, end = (form.format(f"{name}: {word}") for word in ("begin", "end"))
    before, found_begin, rest = text.partition(begin)
    inside, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{path}: no {begin} … {end}")
    return before + begin, inside, end + after


def put(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks. Raises ValueError where a mark is missing."""
    before, _, after = between(path.read_text(), name, path=path)
    path.write_text(f"{before}\n{text}\n{after}")
