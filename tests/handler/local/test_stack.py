"""The processes of a local installation are ready when it says so, and gone afterwards, whatever happened."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.servers import release
from handler.local import leash
from handler.local.processes import StartFailed, running, spawn
from handler.local.stack import LOOPBACK, Ports, Stack, start
from tests.adapters.conftest import need_rabbit
from tests.handler.commandline import call_beside
from tests.handler.samples import until
from tests.patience import PATIENCE
from tests.processes import is_alive, survivors

PARENT = """
import asyncio, pathlib, sys
from handler.local.processes import spawn
async def main():
    process = await spawn("child", ["sleep", "600"], log=pathlib.Path(sys.argv[1]))
    print(process.pid, flush=True)
    await process.wait()
asyncio.run(main())
"""


async def submit(stack: Stack, *arguments: str) -> None:
    done = await call_beside("submit", *arguments, environ=stack.environ)
    assert done.returncode == 0, done.stderr


async def written(mark: Path) -> str:
    async def there() -> str:
        return mark.read_text() if mark.exists() else ""  # noqa: ASYNC240 - a test may block

    return await until(there)


async def gone(pid: int) -> None:
    async def ended() -> bool:
        return not is_alive(pid)

    await until(ended)


async def test_everything_is_ready_on_entry_and_gone_afterwards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with start(home) as stack:
        mark = tmp_path / "mark"
        await submit(stack, "--image", "a", "--", "sh", "-c", f"echo runs >{mark}; sleep 600")
        await written(mark)
        assert [process.exit_code for process in stack.processes] == [None, None, None]
        pids = [process.pid for process in stack.processes]
    assert not survivors(home)
    assert not any(is_alive(pid) for pid in pids)


async def test_containers_of_a_crashed_cluster_are_ended_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with start(home) as stack:
        mark = tmp_path / "mark"
        await submit(stack, "--image", "a", "--", "sh", "-c", f"echo $$$$ >{mark}; sleep 600")
        await written(mark)
        stack.process("devcluster").kill()
        assert (await stack.first_end()).name == "devcluster"
        assert is_alive(int(mark.read_text()))
    assert not survivors(home)
    await gone(int(mark.read_text()))


# In `make test` a test of dev claims this: tests/handler/commands/demo.
@pytest.mark.long
async def test_state_is_kept_from_one_start_to_the_next(tmp_path: Path) -> None:
    async with start(tmp_path) as stack:
        await submit(stack, "--id", "kept", "--image", "a", "--watch", "--", "true")
    async with start(tmp_path) as stack:
        assert "kept" in (await call_beside("get", environ=stack.environ)).stdout
        assert "succeeded" in (await call_beside("watch", "--no-follow", environ=stack.environ)).stdout


async def test_ports_that_are_in_use_are_avoided(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), LOOPBACK, 0)
    taken = server.sockets[0].getsockname()[1]
    async with server, start(tmp_path, ports=Ports(broker=taken)) as stack:
        assert not stack.source.endswith(f":{taken}")


async def test_a_wrong_setting_stops_everything_and_says_which(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="JOBRELAY_CONCURRENCY"):
        async with start(tmp_path, settings={"JOBRELAY_CONCURRENCY": "0"}):
            pass
    assert not survivors(tmp_path)


async def test_a_process_that_ends_at_its_start_is_reported_with_its_last_output(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    command = ["sh", "-c", "echo my last words; exit 7"]
    async with running("short", command, log=tmp_path / "log") as process:
        with pytest.raises(StartFailed, match=r"(?s)short ended with 7.*my last words"):
            await process.ready(never, within=PATIENCE)


async def test_a_process_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with running("slow", ["sleep", "600"], log=tmp_path / "log") as process:
        with pytest.raises(StartFailed, match="not ready after"):
            await process.ready(never, within=0.1)
    assert process.exit_code == -signal.SIGTERM


async def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = f"trap '' TERM; sleep 600 & echo $! >{mark}; wait; wait"
    process = await spawn("stubborn", ["sh", "-c", script], log=tmp_path / "log")
    await written(mark)
    await process.stop(grace=0.2)
    assert process.exit_code == -signal.SIGKILL
    await gone(int(mark.read_text()))


async def test_output_of_earlier_starts_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("first", "second"):
        async with running("twice", ["echo", word], log=log) as process:
            await process.wait()
            assert process.output() == f"{word}\n"
    assert log.read_text() == "first\nsecond\n"


async def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    command = (sys.executable, "-c", PARENT, str(tmp_path / "log"))
    parent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    await parent.wait()
    await gone(child)


def test_a_child_whose_parent_is_gone_does_not_start() -> None:
    done = subprocess.run(
        [sys.executable, leash.__file__, str(os.getpid() + 1), "echo", "begun"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert not done.stdout


# In `make test`, tests/adapters/servers restarts a node, and the test of `demo` checks that no process is left.
@pytest.mark.long
async def test_rabbitmq_keeps_its_state_from_one_start_to_the_next_and_leaves_no_process(tmp_path: Path) -> None:
    need_rabbit()
    for number in range(2):
        async with start(tmp_path, broker="rabbitmq") as stack:
            assert [process.name for process in stack.processes] == ["rabbitmq-server", "devcluster", "jobrelay"]
            if not number:
                await submit(stack, "--id", "kept", "--image", "a", "--watch", "--", "true")
            watched = await call_beside("watch", "--no-follow", environ=stack.environ)
            assert "kept  succeeded" in watched.stdout
        assert not survivors(tmp_path)


async def test_a_broker_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartFailed, match="install the package rabbitmq-server"):
        async with start(tmp_path, broker="rabbitmq"):
            pass
