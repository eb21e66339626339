"""What the command line does with a broker, for each broker that can be started here."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import yaml

from adapters.jetstream.connection import connection as nats_link
from adapters.jetstream.options import JetStreamOptions
from adapters.rabbitmq.connection import connection as rabbit_link
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.registry import BY_SCHEME
from handler.local.stack import Stack, start
from tests.adapters.conftest import need_rabbit
from tests.handler.commandline import end, run, shell, started, wait_for

pytestmark = pytest.mark.broker
FORBIDDEN = "{id: %s, job: {image: forbidden/image, command: ['true']}}"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["nats", "rabbitmq"])
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    if request.param == "rabbitmq":
        need_rabbit()
    settings = {"JOBRELAY_CONTROL_WAIT": "1", "JOBRELAY_IMAGES": "busybox"}
    directory = tmp_path_factory.mktemp(request.param)
    async with start(directory, broker=request.param, settings=settings) as running_stack:
        yield running_stack


def letters(stack: Stack, *chosen: str) -> list[dict[str, Any]]:
    done = run(stack, "dead", "list", "-o", "json", *chosen)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def numbers(stack: Stack, *ids: str) -> list[str]:
    return [str(letter["number"]) for letter in letters(stack) if letter["id"] in ids]


def refuse(stack: Stack, *ids: str) -> list[str]:
    """Make dead letters of requests with these ids. Returns the numbers of the letters."""
    for name in ids:
        done = run(stack, "submit", "-", "--no-check", text=FORBIDDEN % name)
        assert done.returncode == 0, done.stderr
    wait_for(lambda: len(numbers(stack, *ids)) == len(ids))
    return numbers(stack, *ids)


def rejections(stack: Stack, request_id: str) -> list[str]:
    done = run(stack, "watch", request_id, "--no-follow", "-o", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event["id"] for event in events if event["type"].endswith(".rejected")]


def test_a_request_is_submitted_watched_listed_and_its_logs_are_read(stack: Stack) -> None:
    done = run(stack, "submit", "--watch", "--id", "one", *shell("echo hi; exit 3"))
    assert done.returncode == 3
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["created", "started", "failed"]
    assert run(stack, "watch", "one", "--no-follow").stdout == done.stdout
    again = run(stack, "watch", "one")
    assert (again.returncode, again.stdout) == (3, done.stdout)
    assert json.loads(run(stack, "get", "one", "-o", "json").stdout)["phase"] == "failed"
    assert run(stack, "logs", "one").stdout == "hi\n"


def test_definitions_are_imported_changed_and_refused(stack: Stack) -> None:
    def text(schedule: str, image: str) -> str:
        job = {"image": image, "command": ["true"]}
        return json.dumps({"source": "/set", "jobs": [{"id": "nightly", "schedule": schedule, "job": job}]})

    for schedule, summary in (("@daily", "1 created\n"), ("@weekly", "1 updated\n")):
        done = run(stack, "import", "-", text=text(schedule, "busybox"))
        assert (done.returncode, done.stderr) == (0, summary)
    refused = run(stack, "import", "-", text=text("@weekly", "forbidden/image"))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[0] == "nightly rejected: FORBIDDEN"
    (letter,) = [letter for letter in letters(stack) if letter["id"].startswith("nightly/")]
    assert run(stack, "dead", "drop", str(letter["number"])).returncode == 0
    again = run(stack, "import", "-", text=text("@weekly", "busybox"))
    assert again.stderr == "nothing to change: 1 definition is as in the file\n"


def test_a_request_is_cancelled_and_a_command_for_an_unknown_request_is_refused(stack: Stack) -> None:
    assert run(stack, "submit", "--id", "stopped", *shell("sleep 600")).returncode == 0
    wait_for(lambda: " started " in run(stack, "watch", "stopped", "--no-follow").stdout)
    assert "cancel accepted" in run(stack, "cancel", "stopped").stdout
    wait_for(lambda: " cancelled " in run(stack, "watch", "stopped", "--no-follow").stdout)
    assert "UNKNOWN" in run(stack, "cancel", "nobody").stderr


def test_check_tries_the_broker_and_says_problems_first(stack: Stack) -> None:
    done = run(stack, "check", "--connect")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert ("policies cannot be seen over AMQP" in done.stderr) is stack.source.startswith("amqp")
    wrong = run(stack, "check", "--connect", "--instance", "other")
    assert wrong.returncode == 1
    problem, *well = wrong.stderr.splitlines()
    assert "missing on the broker" in problem
    assert any(line.startswith("cluster: reachable") for line in well)
    assert "JOBRELAY_INSTANCE" in wrong.stdout


def test_what_is_deleted_is_declared_anew_with_a_warning_and_counted(stack: Stack) -> None:
    name = BY_SCHEME[urlsplit(stack.source).scheme].name
    series = f'jobrelay_topology_redeclared_total{{broker="{name}"}}'
    wait_for(lambda: f"{series} 0.0" in get(stack, "/metrics"))
    asyncio.run(delete_dead_letters(stack))
    wait_for(lambda: f"{series} 1.0" in get(stack, "/metrics"))
    output = stack.process("jobrelay").output
    wait_for(lambda: "was gone and is declared anew: what was in it is lost" in output(), what=output)
    wait_for(lambda: get(stack, "/readyz") == "ok\n")


def get(stack: Stack, path: str) -> str:
    with closing(HTTPConnection(urlsplit(stack.http).netloc)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


async def delete_dead_letters(stack: Stack) -> None:
    """Delete the stream or the queue."""
    if stack.source.startswith("nats"):
        async with nats_link(stack.source, JetStreamOptions()) as nats:
            await nats.api("STREAM.DELETE.JOBRELAY_DEAD")
    else:
        async with rabbit_link(stack.source, RabbitMQOptions(), purpose="test") as link, link.channel() as channel:
            await channel.queue_delete("jobrelay.dead")


def test_dead_letters_are_listed_and_shown(stack: Stack) -> None:
    (number,) = refuse(stack, "shown")
    assert any(line.split()[0] == number for line in run(stack, "dead", "list").stdout.splitlines())
    shown = run(stack, "dead", "show", number)
    assert "forbidden/image" in shown.stdout
    whole = yaml.safe_load(run(stack, "dead", "show", number, "-o", "yaml").stdout)
    assert (whole["code"], whole["id"], whole["replays"]) == ("FORBIDDEN", "shown", 0)
    assert json.loads(whole["body"])["data"]["id"] == "shown"


def test_dead_letters_are_chosen_by_code_type_and_age(stack: Stack) -> None:
    (number,) = refuse(stack, "chosen")
    requested = "dev.jobrelay.job.requested"
    for chosen in (["--code", "FORB*"], ["--type", requested], ["--newer", "1h"], [number]):
        assert number in [str(letter["number"]) for letter in letters(stack, *chosen)]
    for other in (["--code", "EXPIRED"], ["--type", "com.*"], ["--older", "1h"], ["1"]):
        assert number not in [str(letter["number"]) for letter in letters(stack, *other)]
    assert "no such dead letters" in run(stack, "dead", "list", "--older", "1h").stderr


def test_a_dry_run_lists_dead_letters_and_changes_nothing(stack: Stack) -> None:
    (number,) = refuse(stack, "dry")
    before = letters(stack)
    for verb, word in (("replay", "would be replayed"), ("drop", "would be dropped")):
        done = run(stack, "dead", verb, "--all", "--dry-run")
        assert done.returncode == 0
        assert [line for line in done.stdout.splitlines() if number in line] == [
            f"{word}  {number}  requests  FORBIDDEN  dry"
        ]
    assert letters(stack) == before


def test_only_dropped_dead_letters_are_gone(stack: Stack) -> None:
    first, second, third = refuse(stack, "a", "b", "c")
    done = run(stack, "dead", "drop", first, third, "-o", "json")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a", "c"]
    assert "2 dead letters dropped" in done.stderr
    left = [str(letter["number"]) for letter in letters(stack)]
    assert second in left
    assert not {first, third} & set(left)
    again = run(stack, "dead", "drop", first)
    assert (again.returncode, again.stderr.splitlines()[-1]) == (1, f"jobrelay: no dead letter {first}")


def test_a_replayed_request_is_rejected_again_while_it_is_not_allowed(stack: Stack) -> None:
    (number,) = refuse(stack, "cured")
    done = run(stack, "dead", "replay", number)
    assert (done.returncode, done.stdout) == (0, f"replayed  {number}  requests  FORBIDDEN  cured\n")
    wait_for(lambda: numbers(stack, "cured") not in ([], [number]))
    (letter,) = [letter for letter in letters(stack) if letter["id"] == "cured"]
    assert letter["replays"] == 1
    assert len(rejections(stack, "cured")) == len(set(rejections(stack, "cured"))) == 2


def test_a_rejected_request_runs_when_it_is_replayed_once_allowed(stack: Stack, tmp_path: Path) -> None:
    """Must be the last test here: it replaces the running jobrelay by a process that allows every image."""
    refuse(stack, "healed")
    refusing = stack.process("jobrelay")
    os.kill(refusing.pid, signal.SIGTERM)
    wait_for(lambda: "handler.app: stopped" in refusing.output(), what=refusing.output)
    output = tmp_path / "output"
    environ = {**stack.environ, "JOBRELAY_HTTP_ADDRESS": "127.0.0.1:0"}
    with started("run", environ=environ, output=output) as allowing:
        wait_for(lambda: " leading" in output.read_text(), what=output.read_text)
        done = run(stack, "dead", "replay", "--code", "FORBIDDEN", "--newer", "1h")
        assert done.returncode == 0, done.stderr
        wait_for(lambda: " succeeded " in run(stack, "watch", "healed", "--no-follow").stdout, what=output.read_text)
        assert end(allowing, signal.SIGTERM) == 0
    assert letters(stack) == []
