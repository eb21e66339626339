"""Commands where two sources use the same id: each sees its own request, on either broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from events.cloudevent.attributes import MAX_VALUE
from events.identity import Identity, job_name
from handler.local.stack import Stack, start
from tests.adapters.conftest import need_rabbit
from tests.handler.commandline import Done, call_beside, run, shell, started, wait_for
from tests.handler.samples import waits_for
from tests.patience import PATIENCE

pytestmark = pytest.mark.broker

SHOP, DESK = "/shop", "/desk/ä?x=1"
FAILED = ["created", "started", "failed"]
SUCCEEDED = ["created", "started", "succeeded"]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["nats", pytest.param("rabbitmq", marks=pytest.mark.long)]
)
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    if request.param == "rabbitmq":
        need_rabbit()
    async with start(tmp_path_factory.mktemp("stack"), broker=request.param) as running:
        yield running


def submit(request_id: str, source: str, script: str, *options: str) -> list[str]:
    return ["submit", "--id", request_id, "--source", source, *options, *shell(script)]


def phases(done: Done) -> list[str]:
    return [line.split("  ")[2].strip() for line in done.stdout.splitlines()]


def told(stack: Stack, request_id: str, *options: str) -> list[str]:
    """The phases that `watch` shows."""
    return phases(run(stack, "watch", request_id, "--no-follow", *options))


@pytest.mark.parametrize(("first", "second"), [(7, 0), (0, 7)])
def test_two_submits_at_the_same_time_each_see_their_own_outcome_only(
    stack: Stack, tmp_path: Path, first: int, second: int
) -> None:
    """The request that begins second ends first: who waits for the other hears of it all."""
    name, go, outputs = f"same-{first}", tmp_path / "go", (tmp_path / "first", tmp_path / "second")
    last = submit(name, SHOP, f"{waits_for(go)}; exit {second}", "--watch")
    brief = submit(name, DESK, f"exit {first}", "--watch")
    with started(*last, environ=stack.environ, output=outputs[0]) as waiting:
        wait_for(lambda: "started" in outputs[0].read_text())
        with started(*brief, environ=stack.environ, output=outputs[1]) as ending:
            assert ending.wait(PATIENCE) == first
        assert told(stack, name, "--source", DESK)[-1] == ("failed" if first else "succeeded")
        assert waiting.poll() is None
        go.touch()
        assert waiting.wait(PATIENCE) == second
    for output, code in zip(outputs, (second, first), strict=True):
        lines = [line.split("  ") for line in output.read_text().splitlines() if line.startswith("20")]
        assert [phase.strip() for _, _, phase, *_ in lines] == (FAILED if code else SUCCEEDED)
        assert (f"{name} failed with exit code 7" in output.read_text()) is bool(code)


def test_a_source_may_be_as_long_as_an_attribute_can_be(stack: Stack) -> None:
    source = "/ä" * (MAX_VALUE // 3)
    done = run(stack, *submit("long", source, "true", "--watch", "-o", "json"))
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["requestsource"] == source, event["data"]["detail"]["phase"]) for event in events] == [
        (True, phase) for phase in SUCCEEDED
    ]
    assert run(stack, "cancel", "long", "--source", source).stderr.count("FINISHED") == 1
    refused = run(stack, "submit", "-", "--no-check", "--watch", "--source", source, "-o", "json", text="{id: no}")
    assert (refused.returncode, json.loads(refused.stdout)["requestsource"] == source) == (1, True)


def test_documents_of_two_sources_with_one_id_are_waited_for_and_named_apart(stack: Stack) -> None:
    text = json.dumps(
        [
            {
                "specversion": "1.0",
                "type": "dev.jobrelay.job.requested",
                "source": source,
                "id": f"e-{code}",
                "data": {"id": "pair", "job": {"image": "busybox", "command": ["sh", "-c", f"exit {code}"]}},
            }
            for source, code in ((SHOP, 0), (DESK, 5))
        ]
    )
    done = run(stack, "submit", "-", "--watch", text=text)
    assert (done.returncode, sorted(phases(done))) == (1, sorted(SUCCEEDED + FAILED))
    assert {line.split("  ")[1] for line in done.stdout.splitlines()} == {f"pair ({SHOP})", f"pair ({DESK})"}
    assert f"pair ({DESK}) failed with exit code 5" in done.stderr


async def test_a_rejected_duplicate_is_no_end_of_the_request_that_runs(stack: Stack, tmp_path: Path) -> None:
    file, output = tmp_path / "go", tmp_path / "output"
    data = {"id": "reused", "job": {"image": "busybox", "command": ["sh", "-c", waits_for(file)]}}
    with started(*submit("reused", SHOP, waits_for(file), "--watch"), environ=stack.environ, output=output) as first:
        await asyncio.to_thread(wait_for, lambda: "started" in output.read_text())
        other = await call_beside(*submit("reused", SHOP, "exit 9", "--watch"), environ=stack.environ)
        assert (other.returncode, phases(other)) == (1, ["rejected"])
        assert "ID_REUSED" in other.stderr
        event = {"specversion": "1.0", "type": "dev.jobrelay.job.requested", "source": SHOP, "id": "late"}
        late = json.dumps({**event, "expirytime": "2020-01-01T00:00:00Z", "data": data})
        expired = await call_beside("submit", "-", "--watch", environ=stack.environ, text=late)
        assert (expired.returncode, phases(expired)) == (1, ["rejected"])
        assert first.poll() is None
        file.touch()
        assert await asyncio.to_thread(first.wait, PATIENCE) == 0
    assert [line.split("  ")[2].strip() for line in output.read_text().splitlines()] == SUCCEEDED
    seen = await call_beside("watch", "reused", environ=stack.environ)
    assert seen.returncode == 0
    assert [phase for phase in phases(seen) if phase != "rejected"] == SUCCEEDED
    assert "event late changes nothing: EXPIRED" in seen.stdout


def test_watch_shows_the_requests_of_all_sources_or_of_the_one_that_is_named(stack: Stack, tmp_path: Path) -> None:
    go, output = tmp_path / "go", tmp_path / "output"
    assert run(stack, *submit("both", SHOP, waits_for(go))).returncode == 0
    assert run(stack, *submit("both", DESK, "exit 4", "--watch")).returncode == 4
    wait_for(lambda: told(stack, "both", "--source", SHOP) == SUCCEEDED[:2])
    assert told(stack, "both", "--source", DESK) == FAILED
    assert run(stack, "watch", "both", "--source", DESK).returncode == 4
    with started("watch", "both", environ=stack.environ, output=output) as watching:
        wait_for(lambda: "failed" in output.read_text())
        assert watching.poll() is None, "the other request has not ended"
        go.touch()
        assert watching.wait(PATIENCE) == 1
    lines = [line.split("  ") for line in output.read_text().splitlines()]
    assert [phase.strip() for _, name, phase, *_ in lines if name == f"both ({DESK})"][-1] == "failed"
    assert [phase.strip() for _, name, phase, *_ in lines if name == f"both ({SHOP})"][-1] == "succeeded"
    assert run(stack, "watch", "both", "--source", SHOP).returncode == 0


def test_commands_about_an_id_of_two_sources_take_the_source(stack: Stack, tmp_path: Path) -> None:
    for source in (SHOP, DESK):
        script = f"echo {source.split('/')[1]}; {waits_for(tmp_path / 'never')}"
        assert run(stack, *submit("twin", source, script)).returncode == 0
        wait_for(lambda source=source: "started" in told(stack, "twin", "--source", source))  # type: ignore[misc]
    rows = run(stack, "get", "twin").stdout.splitlines()[1:]
    assert {row.split("  ")[0] for row in rows} == {f"twin ({SHOP})", f"twin ({DESK})"}
    (only,) = run(stack, "get", "twin", "--source", DESK).stdout.splitlines()[1:]
    assert only.startswith("twin  ")
    assert run(stack, "logs", "twin", "--source", DESK).stdout == "desk\n"
    both = run(stack, "logs", "twin")
    assert (len(both.stdout.splitlines()), "several sources use this id" in both.stderr) == (2, True)
    nobody = run(stack, "get", "twin", "--source", "/nobody")
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("jobrelay: no Job of request twin from /nobody. ")
    ambiguous = run(stack, "cancel", "twin")
    assert (ambiguous.returncode, "AMBIGUOUS" in ambiguous.stderr) == (1, True)
    answer = run(stack, "cancel", "twin", "--source", DESK, "-o", "json")
    assert (answer.returncode, json.loads(answer.stdout)["requestsource"]) == (0, DESK)
    assert run(stack, "watch", "twin", "--source", DESK).returncode == 1
    assert told(stack, "twin", "--source", DESK)[-1] == "cancelled"
    assert told(stack, "twin", "--source", SHOP) == SUCCEEDED[:2]
    assert run(stack, "cancel", "twin", "--source", SHOP).returncode == 0


def test_a_command_names_one_of_the_jobs_that_one_source_and_id_has(stack: Stack, tmp_path: Path) -> None:
    script = waits_for(tmp_path / "never")
    text = json.dumps(
        [
            {
                "specversion": "1.0",
                "type": "dev.jobrelay.job.requested",
                "source": SHOP,
                "id": "again",
                "data": {"service": service, "job": {"image": "busybox", "command": ["sh", "-c", script]}},
            }
            for service in ("mail", "post")
        ]
    )
    assert run(stack, "submit", "-", text=text).returncode == 0
    wait_for(lambda: told(stack, "again").count("started") == 2)
    refused = run(stack, "cancel", "again")
    assert (refused.returncode, "AMBIGUOUS" in refused.stderr, "jobname" in refused.stderr) == (1, True, True)
    name, other = (job_name(service, Identity(SHOP, "again")) for service in ("post", "mail"))
    assert run(stack, "cancel", "again", "--job", f"default/{name}").stdout == f"again: cancel accepted, {name}\n"
    wait_for(lambda: "cancelled" in told(stack, "again"))
    assert run(stack, "cancel", "again", "--job", other).returncode == 0
