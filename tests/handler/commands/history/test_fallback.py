"""`jobrelay get ID` and `jobrelay logs ID` once the Job has gone."""

import json
from pathlib import Path

import pytest

from events.phases import Phase
from handler.commands import jobs, logs
from handler.commands.errors import Failed
from handler.settings.settings import Settings
from k8s.base import Unavailable
from k8s.devcluster.server import DevCluster
from tests.handler.commandline import make_environ
from tests.handler.commands.history.records import fill, key_of, life, log_of, told, url_of
from tests.handler.commands.history.test_request import pod


async def get(settings: Settings, request_id: str | None, *, form: str = "table") -> int:
    return await jobs.get(settings, request_id=request_id, source=None, form=form)


async def print_logs(settings: Settings, request_id: str, *, follow: bool = False) -> int:
    return await logs.logs(settings, request_id=request_id, source=None, follow=follow, tail=None, container=None)


def settings_of(devcluster: DevCluster, directory: Path, **more: str) -> Settings:
    return Settings.from_env(make_environ(directory) | {"JOBRELAY_KUBECONFIG": str(devcluster.kubeconfig)} | more)


@pytest.fixture
async def settings(devcluster: DevCluster, tmp_path: Path) -> Settings:
    """Of an installation without Jobs, whose history knows requests with and without logs, and a schedule."""
    key = key_of("invoice-1")
    created = told(key, Phase.CREATED, service="billing", tags=("red",))
    run = key_of("nightly@2026-03-01T10:00:00Z")
    entries = [
        *(created, *life(key)[1:], *life("silent", Phase.FAILED)),
        *(told("nightly", Phase.SCHEDULED), *life(run), *life(key_of("again", cause="e1"))),
        *life(key_of("again", cause="e2"), at=60),
    ]
    logs_of = [log_of("uid-one", b"printed \xff\n"), log_of("uid-run", b"at night\n")]
    await fill(url_of(tmp_path), entries, pods=[(key, pod("one")), (run, pod("run"))], logs=logs_of)
    return settings_of(devcluster, tmp_path, JOBRELAY_HISTORY=url_of(tmp_path))


async def test_get_shows_what_the_history_has_and_says_so(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await get(settings, "invoice-1") == 0
    captured = capsys.readouterr()
    assert captured.err == "from the history: no Job of request invoice-1\n"
    assert "invoice-1  billing  succeeded  2026-03-01T10:00:16Z  12s" in captured.out
    assert await get(settings, "invoice-1", form="json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["phase"], found["tags"]) == ("history", "succeeded", ["red"])
    assert await get(settings, None) == 0
    assert capsys.readouterr().err == "no Jobs\n", "a list is of the cluster alone"


@pytest.mark.parametrize("follow", [False, True])
async def test_logs_prints_what_the_history_has_and_says_so(
    settings: Settings, follow: bool, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert await print_logs(settings, "invoice-1", follow=follow) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == b"printed \xff\n"
    assert captured.err == b"from the history: no Job of request invoice-1\n"
    assert await print_logs(settings, "silent", follow=follow) == 1
    captured = capfdbinary.readouterr()
    assert captured.out == b""
    assert captured.err.endswith(b"no log of request silent was kept\n")


async def test_of_a_schedule_the_last_run_is_meant_and_of_several_requests_the_last(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await print_logs(settings, "nightly") == 0
    captured = capsys.readouterr()
    assert captured.out == "at night\n"
    assert captured.err.endswith("of its last run, nightly@2026-03-01T10:00:00Z\n")
    assert await print_logs(settings, "again") == 1
    assert "this is the last of 2 with this id" in capsys.readouterr().err
    assert await get(settings, "again", form="json") == 0
    assert [json.loads(line)["cause"] for line in capsys.readouterr().out.splitlines()] == ["e2", "e1"]


async def test_what_neither_knows_is_an_error_of_both(settings: Settings) -> None:
    for work in (get, print_logs):
        with pytest.raises(Failed, match="no Job of request nobody, and nothing of it is in the history"):
            await work(settings, "nobody")


async def test_without_a_history_the_error_says_how_to_get_one(devcluster: DevCluster, tmp_path: Path) -> None:
    for work in (get, print_logs):
        with pytest.raises(Failed, match=r"no Job of request invoice-1\. .*--role console.*JOBRELAY_HISTORY"):
            await work(settings_of(devcluster, tmp_path), "invoice-1")


async def test_a_history_that_cannot_be_read_hides_nothing(devcluster: DevCluster, tmp_path: Path) -> None:
    away = settings_of(devcluster, tmp_path, JOBRELAY_HISTORY=url_of(tmp_path / "missing"))
    for work in (get, print_logs):
        with pytest.raises(Failed, match="no Job of request invoice-1, and the history cannot be read: ") as caught:
            await work(away, "invoice-1")
        assert caught.value.exit_code == 1


async def test_a_cluster_that_does_not_answer_is_an_error_whatever_the_history_has(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Settings.from_env(make_environ(tmp_path, JOBRELAY_HISTORY=url_of(tmp_path)))
    for work in (get, print_logs):
        with pytest.raises(Unavailable):
            await work(lost, "invoice-1")
    assert capsys.readouterr() == ("", "")
