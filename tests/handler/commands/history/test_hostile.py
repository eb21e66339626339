"""What events and containers say may be hostile: it acts in nothing that the history prints."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from events.phases import Phase
from handler.history.base import Key, LogState, PodRun
from handler.visible import is_plain
from tests.handler.commandline import call, make_environ
from tests.handler.commands.history.records import MORNING, fill, life, log_of, told, url_of

WORD = "\x1b]0;x\x07\u202e\u2066漢字\u200b\x9b31m\r\n'\"%_\\"
KEY = Key(id=WORD, cause=WORD, source=WORD)
POD = PodRun(
    uid="uid-1", name=WORD, namespace=WORD, node=WORD, attempt=1, started=MORNING, finished=MORNING, reason=WORD
)
ASKED: dict[str, Any] = dict.fromkeys(("service", "image", "function", "namespace", "job", "replay_of"), WORD)
COMMANDS = [
    ["list"],
    ["list", "--tag", WORD, "--source", WORD, "--service", WORD, WORD[:4]],
    ["show", WORD],
    ["stats", "--newer", "2026-03-01", "--older", "2026-03-02", "--service", WORD],
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    said = {"error_code": WORD, "message": WORD, "result": json.dumps(WORD, ensure_ascii=False).encode()}
    detail = {"reason": WORD, "error": {"errorCode": WORD, "message": WORD}, WORD: [WORD]}
    entries = [
        told(KEY, Phase.CREATED, tags=(WORD,), detail={"jobName": WORD, "namespace": WORD}, **ASKED),
        told(KEY, Phase.STALLED, at=1, detail=detail, reason=WORD),
        *life(KEY, Phase.FAILED, at=2, **said)[1:],
        *life(Key(id=WORD, cause="earlier", source=WORD), at=-99),
    ]
    logs = [
        log_of("uid-1", b"plain\n", container=WORD),
        log_of("uid-1", container="none", state=LogState.MISSING, reason=WORD),
    ]
    asyncio.run(fill(url_of(directory), entries, pods=[(KEY, POD)], logs=logs))
    return directory


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_word_of_an_event_acts_in_what_is_shown(command: list[str], directory: Path, tmp_path: Path) -> None:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory))
    shown = {form: call("history", *command, "-o", form, environ=environ) for form in ("table", "json", "yaml")}
    for done in shown.values():
        assert done.returncode == 0, done.stderr
        assert "漢字" in done.stdout
        assert is_plain((done.stdout + done.stderr).replace("\n", ""))
    documents = [json.loads(line) for line in shown["json"].stdout.splitlines()]
    assert WORD in (documents[0].get("id"), documents[0].get("service"))
    assert list(yaml.safe_load_all(shown["yaml"].stdout)) == documents


def test_names_before_the_lines_of_a_log_and_notes_about_it_are_plain(directory: Path, tmp_path: Path) -> None:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory))
    done = call("history", "logs", WORD, environ=environ)
    assert done.returncode == 0
    assert done.stdout.endswith("] plain\n")
    wrong = call("history", "logs", WORD, "-c", WORD + "x", environ=environ)
    exported = call("history", "export", environ=environ)
    assert [json.loads(line)["subject"] for line in exported.stdout.splitlines()] == [WORD] * 7
    for one in (done, wrong, exported, call("history", "show", WORD + "x", environ=environ)):
        assert is_plain((one.stdout + one.stderr).replace("\n", ""))
