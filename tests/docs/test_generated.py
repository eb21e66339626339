"""The generated parts of the documents agree with the code: `make docs` would change nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handler.settings.settings import Settings
from tests.docs.generated import BLOCKS, PAGES, Block
from tests.docs.marks import put
from tests.docs.settings import GROUPS
from tests.paths import ROOT

ADVICE = "run make docs"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_is_complete_and_true(path: Path) -> None:
    make: Callable[[], str] = PAGES[path]
    assert path.read_text() == make(), ADVICE


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_complete_and_true(block: Block) -> None:
    assert block.current() == f"\n{block.make()}\n", ADVICE


def test_every_setting_is_described_in_words_and_has_a_section() -> None:
    fields = Settings.model_fields
    assert [name for name, field in fields.items() if not (field.description or "").endswith(".")] == []
    assert sorted(name for group in GROUPS for name in group.model.model_fields) == sorted(fields)


def test_only_the_text_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "PAGE.md"
    page.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\n<!-- b: begin --><!-- b: end -->\n")
    put(page, "a", "| new |")
    assert page.read_text() == (
        "before\n<!-- a: begin -->\n| new |\n<!-- a: end -->\n<!-- b: begin --><!-- b: end -->\n"
    )


@pytest.mark.parametrize("text", ["nothing here\n", "<!-- a: begin -->\n"])
def test_a_page_without_the_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "PAGE.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="a: begin"):
        put(page, "a", "new")
    assert page.read_text() == text
