"""What the threat model claims is tested: each claim names its tests, and they exist."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.paths import ROOT

THREATS = ROOT / "handler" / "SECURITY.md"
_CLAIM = re.compile(r"^\|(?P<claim>[^|]+)\|(?P<tests>[^|]*)\|$", re.MULTILINE)
_LINK = re.compile(r"\[(?P<name>test_\w+)\]\(\.\./(?P<file>tests/[\w/]+\.py)\)")


def claims() -> list[tuple[str, str]]:
    """Each claim with the links beside it."""
    rows = [(found["claim"].strip(), found["tests"]) for found in _CLAIM.finditer(THREATS.read_text())]
    return [(claim, tests) for claim, tests in rows if claim != "claim" and claim.strip("-")]


@cache
def functions_in(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))


def test_the_threat_model_makes_claims() -> None:
    assert len(claims()) >= 30


@pytest.mark.parametrize(("claim", "tests"), claims())
def test_each_claim_names_tests_that_exist(claim: str, tests: str) -> None:
    links = list(_LINK.finditer(tests))
    assert links, f"no test is named: {claim}"
    assert [link["name"] for link in links if link["name"] not in functions_in(ROOT / link["file"])] == []
