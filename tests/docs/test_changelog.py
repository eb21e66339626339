"""The changelog has the form that its readers rely on."""

import tomllib

import pytest

from tests.docs.changelog import faults, releases
from tests.paths import ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
BREAKING = """\
### Breaking: a thing
- **What:** it.
- **Whom:** us.
- **What to do:** this.
- **Since:** 2026-11-28 (0123abcd)
"""
GOOD = f"""\
# Changelog

## [Unreleased]

{BREAKING}
### Added
- This.

### Fixed
- *2026-11-29:* that.
- *2026-11-28:* more.

## [0.2.0] - 2026-12-01

### Added
#### Area
- This.

## [0.1.10] - 2026-11-01
"""


def test_the_changelog_has_its_form() -> None:
    assert faults(CHANGELOG.read_text()) == []


def test_the_version_is_that_of_the_newest_release_or_a_later_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    numbers = tuple(map(int, version.split(".")))
    assert [release.title for release in releases(CHANGELOG.read_text()) if (release.version or ()) > numbers] == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("## [Unreleased]\n", "", "[Unreleased] comes first"),
        ("2026-12-01", "1 December", "[0.2.0] - 1 December: [version] - YYYY-MM-DD expected"),
        ("2026-12-01", "2026-12-32", "[0.2.0] - 2026-12-32: [version] - YYYY-MM-DD expected"),
        ("[0.1.10]", "[0.2.1]", "[0.2.1] - 2026-11-01: the newest release comes first"),
        ("### Fixed", "### Mended", "[Unreleased]: no such section: Mended"),
        ("### Fixed", "### Added", "[Unreleased]: what breaks first, then each of Added, Changed"),
        ("### Added\n- This.\n\n### Fixed\n", "### Fixed\n- This.\n\n### Added\n", "[Unreleased]: what breaks first"),
        ("### Fixed", "### Breaking: x", "Breaking: x: What, Whom, What to do, Since expected, in this order"),
        ("- **Whom:** us.\n", "", "Breaking: a thing: What, Whom, What to do, Since expected, in this order"),
        ("- **Whom:** us.", "- **Whom:** ", "Breaking: a thing: What, Whom, What to do, Since expected, in this order"),
        ("2026-11-28 (", "yesterday (", "Breaking: a thing: Since: YYYY-MM-DD expected"),
        ("### Fixed", f"{BREAKING.replace('-28', '-29')}### Fixed", "[Unreleased]: what broke last comes first"),
        ("#### Area\n- This.", "#### Area", "Added: has no entry"),
        ("*2026-11-29:*", "*2026-11-27:*", "Fixed: days as YYYY-MM-DD, the newest first"),
        ("*2026-11-29:*", "*29.11.2026:*", "Fixed: days as YYYY-MM-DD, the newest first"),
    ],
)
def test_a_changelog_without_the_form_is_found(good: str, bad: str, fault: str) -> None:
    assert faults(GOOD) == []
    assert good in GOOD
    assert any(found.startswith(fault) for found in faults(GOOD.replace(good, bad, 1)))
