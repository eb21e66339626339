"""`jobrelay logs` of pods with several containers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from handler.local.stack import Stack, start
from tests.handler.commandline import run, started, wait_for
from tests.handler.intake.functions import make_function, write
from tests.patience import PATIENCE

GO = "until [ -e {mark} ]; do sleep 0.1; done"


def container(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    waits = GO.format(mark=directory / "go")
    functions = {
        "several": {
            "initContainers": [container("fetch", "echo fetched"), container("unpack", "printf unpacked")],
            "containers": [container("agent", "echo of agent; echo more"), container("main", "echo of main")],
        },
        "broken": {
            "initContainers": [container("fetch", "echo no such file; exit 4")],
            "containers": [container("main", "echo never")],
        },
        "follows": {
            "initContainers": [container("fetch", f"echo fetching; {waits}; echo fetched")],
            "containers": [container("main", f"echo begun; {waits}; echo done"), container("agent", "echo of agent")],
        },
    }
    path = write(
        directory / "f.yaml",
        *(
            make_function(name, filters=[{"exact": {"type": f"com.example.{name}"}}], spec={"template": {"spec": pod}})
            for name, pod in functions.items()
        ),
    )
    async with start(directory / "state", settings={"JOBRELAY_FUNCTIONS": str(path)}) as running:
        yield running


def submitted(stack: Stack, name: str) -> str:
    event = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": f"com.example.{name}"}
    assert run(stack, "submit", "-", text=yaml.safe_dump(event)).returncode == 0
    return f"{name}/e1"


def ended(stack: Stack, name: str) -> str:
    request = submitted(stack, name)
    wait_for(lambda: any(word in run(stack, "get", request).stdout for word in ("succeeded", "failed")))
    return request


def without_pod(text: str) -> list[str]:
    return [re.sub(r"^\[pod/[a-z0-9-]+/", "[", line) for line in text.splitlines()]


def test_logs_of_all_containers_are_named_init_containers_first(stack: Stack) -> None:
    request = ended(stack, "several")
    done = run(stack, "logs", request)
    assert (done.returncode, done.stderr) == (0, "")
    assert without_pod(done.stdout) == [
        "[fetch] fetched",
        "[unpack] unpacked",
        "[main] of main",
        "[agent] of agent",
        "[agent] more",
    ]
    assert without_pod(run(stack, "logs", request, "--tail", "1").stdout)[3] == "[agent] more"
    assert run(stack, "logs", request, "-c", "agent").stdout == "of agent\nmore\n"
    assert run(stack, "logs", request, "--container", "unpack", "-f").stdout == "unpacked\n"
    for options in ((), ("-f",)):
        wrong = run(stack, "logs", request, "--container", "nobody", *options)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "has no container nobody: it has main, agent, fetch, unpack" in wrong.stderr


def test_a_container_that_has_not_started_is_skipped_with_a_note(stack: Stack) -> None:
    request = ended(stack, "broken")
    for options in ((), ("-f",)):
        done = run(stack, "logs", request, *options)
        assert done.returncode == 0
        assert without_pod(done.stdout) == ["[fetch] no such file"]
        assert without_pod(done.stderr)[0].startswith("[main] has not started")
    done = run(stack, "logs", request, "-c", "main")
    assert (done.returncode, done.stdout) == (0, "")
    assert without_pod(done.stderr)[0].startswith("[main] has not started")
    assert "no container main of it ran" in run(stack, "logs", request, "-c", "main", "-f").stderr


def test_follow_takes_up_each_container_when_it_starts(stack: Stack, tmp_path: Path) -> None:
    request = submitted(stack, "follows")
    wait_for(lambda: run(stack, "get", request).returncode == 0)
    output = tmp_path / "output"
    with started("logs", "-f", request, environ=stack.environ, output=output) as process:
        wait_for(lambda: "[pod" in output.read_text() and "fetching" in output.read_text(), what=output.read_text)
        (stack.directory.parent / "go").touch()
        assert process.wait(PATIENCE) == 0
    lines = without_pod(output.read_text())
    assert [line for line in lines if line.startswith("[fetch]")] == ["[fetch] fetching", "[fetch] fetched"]
    assert [line for line in lines if line.startswith("[main]")] == ["[main] begun", "[main] done"]
    assert "[agent] of agent" in lines
