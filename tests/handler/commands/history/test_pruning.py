"""`jobrelay history prune`: deletes what is too old now."""

import asyncio
from pathlib import Path

import pytest

from handler.commands.history import pruning
from handler.history.logs.bodies import compressed
from handler.history.logs.objects import open_bodies
from tests.handler.commandline import Done, call, make_environ
from tests.handler.commands.history.records import fill, key_of, life, log_of, url_of
from tests.handler.commands.history.test_request import pod


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of a history with five requests of the year 2026, one of which has a log in a directory."""
    shelf = f"file://{tmp_path}/logs"
    log, chunks = log_of("uid-one", b"elsewhere\n")

    async def filled() -> None:
        entries = [entry for number in range(5) for entry in life(f"r-{number}", at=number)]
        await fill(url_of(tmp_path), entries, pods=[(key_of("r-0"), pod("one"))], logs=[(log, {})])
        async with open_bodies(shelf) as bodies:
            assert bodies is not None
            await bodies.put("uid-one", "main", 0, compressed(chunks[0]))

    asyncio.run(filled())
    return make_environ(
        tmp_path, JOBRELAY_HISTORY=url_of(tmp_path), JOBRELAY_LOG_STORE=shelf, JOBRELAY_HISTORY_DAYS="3650"
    )


def chunks_in(directory: Path) -> list[Path]:
    return [path for path in (directory / "logs").rglob("*") if path.is_file()]


def left(environ: dict[str, str]) -> int:
    return len(call("history", "list", "-o", "json", environ=environ).stdout.splitlines())


def pruned(environ: dict[str, str], *options: str, text: str = "") -> Done:
    return call("history", "prune", *options, environ=environ, text=text)


def test_the_settings_say_what_is_too_old(environ: dict[str, str], tmp_path: Path) -> None:
    done = pruned(environ)
    assert (done.returncode, done.stdout) == (0, "deleted: 0 requests, 1 logs\n")
    assert (left(environ), chunks_in(tmp_path)) == (5, [])
    assert "was deleted for its age" in call("history", "logs", "r-0", environ=environ).stderr


def test_less_than_the_settings_say_is_asked_for(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = pruned(environ, "--requests-older", "7d", text="n\n")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "ended more than 7d ago, and logs older than 14d" in refused.stderr
    assert left(environ) == 5
    monkeypatch.setattr(pruning, "_BATCH", 2)
    done = pruned(environ, "--requests-older", "7d", "--yes")
    assert (done.returncode, done.stdout) == (0, "deleted: 5 requests, 1 logs\n")
    assert (left(environ), chunks_in(tmp_path)) == (0, [])


def test_zero_means_everything_that_has_ended(environ: dict[str, str]) -> None:
    assert "deleted: 0 requests, 1 logs" in pruned(environ, "--logs-older", "0", "--yes").stdout


def test_a_log_that_cannot_be_deleted_stays_and_the_exit_code_is_1(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "logs" / "uid-one" / "main" / "0"
    assert file.exists()
    file.unlink()
    (file / "x").mkdir(parents=True)
    done = pruned(environ)
    assert (done.returncode, done.stdout) == (1, "deleted: 0 requests, 0 logs\n")
    assert "JOBRELAY_LOG_STORE" in done.stderr
