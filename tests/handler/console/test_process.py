"""`jobrelay run --role console` as a process: how it ends, and what it says where it cannot run."""

import asyncio
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

from handler.history.sql.store import open_store
from handler.history.sql.tables import VERSION_TABLE
from handler.local.stack import LOOPBACK, clean_environ
from tests.handler.commandline import call, end, make_environ, started, wait_for

WITHOUT = "import sys; sys.modules['sqlalchemy'] = None; from handler.cli.main import main; sys.exit(main())"
"""The program, where the extra is not installed."""
CONSOLE = "run", "--role", "console"


def test_sigterm_ends_it_cleanly_even_if_nothing_can_be_reached(tmp_path: Path) -> None:
    output = tmp_path / "output"
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=f"sqlite://{tmp_path}/history.db")
    with started(*CONSOLE, environ=environ, output=output) as process:
        wait_for(lambda: "recording the history" in output.read_text(), what=output.read_text)
        assert end(process, signal.SIGTERM) == 0
    assert "Traceback" not in output.read_text()


def test_check_says_what_is_wrong_with_its_database_and_what_is_well(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=f"sqlite://{tmp_path}/history.db", JOBRELAY_ROLE="console")
    missing = call("check", "--connect", environ=environ).stderr
    assert (
        f"history: JOBRELAY_HISTORY: there is no {tmp_path}/history.db: `jobrelay run --role console` makes it"
        in missing
    )

    async def make() -> None:
        async with open_store(environ["JOBRELAY_HISTORY"], migrate=True):
            pass

    asyncio.run(make())
    assert (
        "history: reachable, holds the events of 0 of 1 brokers" in call("check", "--connect", environ=environ).stderr
    )


def test_a_database_of_a_newer_program_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "history.db") as database:
        database.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)")
        database.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('9999')")
    database.close()
    done = call(*CONSOLE, environ=make_environ(tmp_path, JOBRELAY_HISTORY=f"sqlite://{tmp_path}/history.db"))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("jobrelay: JOBRELAY_HISTORY: the database has tables of revision 9999, which are newer than")


def test_a_library_that_is_missing_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    environ = {**clean_environ(), **make_environ(tmp_path)}
    command = [sys.executable, "-c", WITHOUT, *CONSOLE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "jobrelay: the history needs the extra [console]: pip install 'jobrelay[console]'\n"


def test_the_page_is_served_from_the_start_and_streams_hold_up_no_end(tmp_path: Path) -> None:
    output = tmp_path / "output"
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=f"sqlite://{tmp_path}/history.db")
    with started(*CONSOLE, environ=environ, output=output) as process:
        wait_for(lambda: "recording the history" in output.read_text(), what=output.read_text)
        url = output.read_text().partition("serving the page at ")[2].split()[0]
        with urllib.request.urlopen(f"{url}api/v1/stream") as stream:
            assert stream.readline().startswith(b":")
            assert end(process, signal.SIGTERM) == 0
            assert stream.read()
    assert "Traceback" not in output.read_text()


def test_an_address_of_the_page_in_use_is_named_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        done = call(*CONSOLE, environ=make_environ(tmp_path, JOBRELAY_UI_ADDRESS=address))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"jobrelay: cannot serve {address}: ")
    assert last.endswith("(JOBRELAY_UI_ADDRESS)")


def test_a_token_that_can_be_guessed_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    environ = make_environ(
        tmp_path, JOBRELAY_UI_AUTH="token", JOBRELAY_UI_TOKEN_FILE=str(tmp_path / "token"), JOBRELAY_ROLE="console"
    )
    for command in (CONSOLE, ("check",)):
        done = call(*command, environ=environ)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"jobrelay: JOBRELAY_UI_TOKEN_FILE: {tmp_path}/token holds 7 bytes; 20 or more expected")
        assert "hunter2" not in done.stderr
