"""The list of error codes is complete: the source uses every code in it, and no other."""

import ast
import re
from collections.abc import Iterator

from events.contract.codes import CODES, CONTROL
from events.phases import Phase
from events.request.container import OUR_ENV
from handler.telemetry.metrics import REFUSALS, VERDICTS
from tests.paths import ROOT

WORD = re.compile(r"[A-Z]{2,}(_[A-Z]+)*")
# Words in capitals that are not error codes: of HTTP and of logging, and the names of settings without their prefix.
NO_CODES = ("codes", "cron", "fields", "schema")
HANDLER = ROOT / "handler"
SILENT = {"candidate", "cli", "commands", "console", "history", "local", "logs", "otlp", "policy", "settings"}
OTHERS = {"GET", "POST", "PATCH", "DELETE", "HEAD"}
SETTINGS = "JOBRELAY_"


def words() -> Iterator[str]:
    """Every text in capitals where requests, Jobs and control events are judged."""
    files = [file for file in (ROOT / "events").rglob("*.py") if file.stem not in NO_CODES]
    files += [file for file in HANDLER.rglob("*.py") if not {*file.relative_to(HANDLER).with_suffix("").parts} & SILENT]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.fullmatch(node.value):
                yield node.value


def test_every_code_in_the_source_is_in_the_list_and_vice_versa() -> None:
    assert {word for word in words() if not word.startswith(SETTINGS)} - OUR_ENV - OTHERS == set(CODES)


def test_every_code_says_where_it_appears_and_has_a_remedy() -> None:
    places = {*Phase, CONTROL}
    for name, code in CODES.items():
        assert code.told, name
        assert set(code.told) <= places, name
        assert code.when.endswith("."), name
        assert code.remedy.endswith("."), name


def test_metrics_count_by_codes_in_the_list() -> None:
    assert set(REFUSALS) == {name for name, code in CODES.items() if Phase.REJECTED in code.told}
    assert {*VERDICTS} <= {name for name, code in CODES.items() if {Phase.FAILED, Phase.CANCELLED} & {*code.told}}
