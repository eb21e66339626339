"""The command line without a broker or a cluster: usage, settings, exit codes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from adapters.servers.local import SERVERS
from handler.cli import options
from handler.cli.history import history
from handler.cli.main import cli, main
from handler.commands import connection
from handler.commands.environment import Local, Options, settings_of
from handler.commands.errors import Failed, Misuse, run
from k8s.base import Unavailable
from tests.patience import within

ELSEWHERE = "nats://127.0.0.1:1"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
"""


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There are no settings and no local environment."""
    for name in list(os.environ):
        if name.startswith(("JOBRELAY_", "KUBECONFIG")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def running(directory: Path, *, pid: int) -> Local:
    directory.mkdir(parents=True, exist_ok=True)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch()
    local = Local(
        source="nats://127.0.0.1:7777",
        kubeconfig=str(kubeconfig),
        instance="here",
        http="http://127.0.0.1:1",
        pid=pid,
        history=f"sqlite://{directory.absolute()}/history.db",
    )
    local.save(directory)
    return local


@pytest.mark.stricter
def test_help_is_fast_and_imports_nothing_heavy() -> None:
    modules = "print([name for name in sys.modules if '.' not in name])"
    code = f"import sys; from handler.cli.main import main; main(['--help']); {modules}"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - began < within(2)
    heavy = {"aiohttp", "kubernetes_asyncio", "nats", "pydantic", "rich", "cloudevents", "sqlalchemy", "msgspec"}
    assert not (heavy | {"asyncio", "ssl", "email", "zipfile"}) & set(eval(done.stdout.splitlines()[-1]))


def test_what_publishes_imports_no_cluster_and_no_tables() -> None:
    code = "import sys, handler.commands.environment, handler.commands.submit; print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"aiohttp", "kubernetes_asyncio", "rich", "prometheus_client", "k8s.api"} & set(eval(done.stdout))


def test_servers_to_start_are_those_that_there_are() -> None:
    assert tuple(SERVERS) == options.SERVERS


def test_the_commands_are_these() -> None:
    names = "asyncapi cancel check completion dead demo dev get history import logs reference resume run schema submit"
    assert sorted(cli.commands) == [*names.split(), "suspend", "trigger", "uninstall", "watch"]


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"jobrelay {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(history.commands))
def test_every_command_of_the_history_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", command, "--help"]) == 0
    assert f"jobrelay history {command}" in capsys.readouterr().out
    assert main(["history", "--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2], "each is told in a line"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonsense"], "No such command"),
        (["get", "--nonsense"], "No such option"),
        (["submit"], "a FILE is needed"),
        (["submit", "--env", "A=1", "x.yaml"], "--env goes with --image"),
        (["submit", "--image", "a", "--watch", "--reply-to", "x"], "--watch"),
        (["submit", "--image", "a", "--function", "x"], "--watch"),
        (["submit", "--image", "a", "--watch", "--function", "x", "--functions", __file__], "one of them"),
        (["submit", "--watch", "--functions", "missing.yaml", "-"], "missing.yaml"),
        (["submit", "--image", "a", "--env", "A"], "--env A"),
        (["submit", "--image", "a", "--set", "b"], "--set b"),
        (["submit", "--image", "a", "--retries", "-1"], "--retries"),
        (["submit", "--image", "not an image"], "job.image"),
        (["submit", "missing.yaml"], "missing.yaml: No such file"),
        (["import"], "Missing argument"),
        (["import", "missing.yaml"], "missing.yaml: No such file"),
        (["import", "-", "--lane", "normal"], "not one of 'high', 'low'"),
        (["import", "-", "--timeout", "0"], "--timeout"),
        (["watch", "--new", "--no-follow"], "nothing to show"),
        (["dead", "show", "x"], "not a valid integer"),
        (["dead", "replay"], "--all"),
        (["dead", "drop", "--dry-run"], "--all"),
        (["dead", "drop", "x"], "not a valid integer"),
        (["dead", "list", "--older", "soon"], "'soon' is no duration"),
        (["dead", "list", "--newer", "1h-5m"], "no duration"),
        (["history", "replay"], "--from"),
        (["history", "replay", "--from", "last"], "'last' is no time"),
        (["history", "prune", "--logs-older", "soon"], "no duration"),
        (["history", "export", "--after", "-1"], "--after"),
        (["history", "show"], "Missing argument"),
        (["history", "stats"], "JOBRELAY_HISTORY"),
        (["demo", "--broker", "kafka"], "not one of 'nats', 'rabbitmq'"),
        (["logs"], "Missing argument"),
        (["completion"], "bash,\n"),
        (["completion", "tcsh"], "not one of 'bash', 'zsh', 'fish'"),
        (["-o", "json"], "Missing command"),
        (["-o", "json", "get"], "-o goes with --version"),
        (["--version", "-o", "table"], "not one of 'json', 'yaml'"),
        (["get", "--context", "elsewhere", "--kubeconfig", "nowhere"], "no such file"),
        (["get", "--instance", "Not Valid"], "JOBRELAY_INSTANCE"),
        (["get", "--broker", "http://x"], "JOBRELAY_SOURCES"),
        (["check", "--broker", "amqp://h:1;h:2"], "the port in the amqp:// URL is no number"),
        (["dead", "list", "--broker", "amqps://h1,h2/?keyfile=missing"], "the parameter keyfile in the amqps:// URL"),
        (["get", "--kubeconfig", "nowhere"], "no such file"),
    ],
)
def test_misuse_exits_with_2_and_one_message(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.startswith("jobrelay: ")
    assert "Traceback" not in captured.err
    assert not captured.out


@pytest.mark.parametrize("options", [[], ["--no-check"], ["--dry-run"]])
def test_all_mistakes_in_definitions_are_reported_at_once_before_connecting(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.yaml").write_text("{jobs: [{id: a, job: {image: a}}, {schedule: '@daily', job: {image: a}}]}")
    assert main(["import", "jobs.yaml", *options]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert lines[0] == "jobrelay: jobs.yaml: nothing was changed:"
    assert [line.split()[0] for line in lines[1:]] == ["jobs[0].schedule", "jobs[1].id"]
    assert not captured.out


def test_pruning_needs_a_source_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: []")
    assert main(["import", "jobs.yaml", "--prune"]) == 2
    assert "source is missing" in capsys.readouterr().err


def test_definitions_in_another_encoding_are_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jobs.yaml").write_bytes("jobs: [] # é".encode("latin-1"))
    assert main(["import", "jobs.yaml"]) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_without_a_command_the_help_is_shown_and_the_code_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: jobrelay" in capsys.readouterr().err


def test_all_mistakes_in_the_settings_are_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBRELAY_CONCURRENCY", "0")
    monkeypatch.setenv("JOBRELAY_NONSENSE", "1")
    for command in (["run"], ["check"], ["get"], ["submit", "--image", "a"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "JOBRELAY_CONCURRENCY" in error
        assert "JOBRELAY_NONSENSE" in error


def test_check_prints_every_setting_and_hides_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBRELAY_SOURCES", "nats://me:secret@broker:4222")
    assert main(["check", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["check", "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == found
    assert main(["check"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in found)
    assert found["JOBRELAY_SOURCES"] == "nats://***@broker:4222"
    assert "secret" not in table
    assert not any(line.endswith(" ") for line in table.splitlines())


def test_an_unreachable_broker_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    assert main(["submit", "--image", "a", "--broker", ELSEWHERE]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "127.0.0.1:1" in error


def test_a_missing_client_library_is_misuse_and_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBRELAY_SOURCES", f"{ELSEWHERE},amqp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    for module in [name for name in sys.modules if name.startswith("adapters.rabbitmq")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("adapters.rabbitmq", raising=False)
    other = ["--broker", "amqp://127.0.0.1:1"]
    for command in (["run"], ["check"], ["check", "--connect"], ["watch", *other], ["demo", "--broker", "rabbitmq"]):
        assert main(command) == 2
        told = capsys.readouterr()
        assert (told.out, told.err) == (
            "",
            "jobrelay: RabbitMQ needs the extra [rabbitmq]: pip install 'jobrelay[rabbitmq]'\n",
        )


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_without_the_extra_of_the_development_cluster_nothing_starts(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert main([command]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "pip install 'jobrelay[local]'" in told.err
    assert not list(tmp_path.iterdir())


def test_check_tries_every_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("JOBRELAY_SOURCES", f"{ELSEWHERE},amqp://127.0.0.1:1")
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    assert main(["check", "--connect", "--kubeconfig", str(tmp_path / "kubeconfig")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["nats", "rabbitmq", "cluster"]


def test_a_missing_kubeconfig_is_one_line_and_misuse(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["get"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "kubeconfig" in error


def test_an_unreachable_cluster_is_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    assert main(["get", "--kubeconfig", str(kubeconfig)]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "127.0.0.1:1" in error


def test_a_local_environment_is_used_when_nothing_names_another(tmp_path: Path) -> None:
    local = running(tmp_path, pid=os.getpid())
    settings = settings_of(Options(), directory=tmp_path)
    assert (settings.sources, settings.instance) == ((local.source,), "here")
    assert str(settings.kubeconfig) == local.kubeconfig


@pytest.mark.parametrize(
    "options",
    [
        Options(environ={"JOBRELAY_SOURCES": ELSEWHERE}),
        Options(environ={"JOBRELAY_INSTANCE": "other"}),
        Options(broker=ELSEWHERE),
        Options(instance="other"),
        Options(context="other"),
        Options(environ={"JOBRELAY_KUBE_CONTEXT": "other"}),
    ],
)
def test_a_local_environment_counts_as_a_whole_or_not_at_all(tmp_path: Path, options: Options) -> None:
    running(tmp_path, pid=os.getpid())
    settings = settings_of(options, directory=tmp_path)
    assert settings.kubeconfig is None
    assert settings.sources != ("nats://127.0.0.1:7777",)


def test_a_local_environment_that_crashed_is_not_used(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    running(tmp_path, pid=gone.pid)
    assert settings_of(Options(), directory=tmp_path).instance == "jobrelay"


def test_a_local_environment_that_stopped_is_not_used(tmp_path: Path) -> None:
    running(tmp_path, pid=os.getpid())
    Local.forget(tmp_path)
    assert settings_of(Options(), directory=tmp_path).instance == "jobrelay"


def test_verbose_names_the_environment_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    local = running(tmp_path, pid=os.getpid())
    settings_of(Options(verbose=True, namespace="jobs"), directory=tmp_path)
    error = capsys.readouterr().err
    assert local.source in error
    assert "jobrelay dev" in error


def test_commands_work_inside_jobs_too() -> None:
    environ = {"JOBRELAY_EVENT_PATH": "/e", "JOBRELAY_RESULT_PATH": "/r", "JOBRELAY_JOB_ID": "i", "CE_ID": "i"}
    assert settings_of(Options(environ=environ)).instance == "jobrelay"


def test_options_take_precedence_over_variables() -> None:
    environ = {"JOBRELAY_SOURCES": ELSEWHERE, "JOBRELAY_NAMESPACES": "a,b"}
    settings = settings_of(Options(broker="nats://127.0.0.1:2", namespace="c", environ=environ))
    assert (settings.sources, settings.namespaces) == (("nats://127.0.0.1:2",), ("c",))


def test_errors_in_task_groups_are_reported_like_others() -> None:
    async def work() -> int:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [Unavailable("the server is away")])])

    with pytest.raises(Failed, match="the server is away"):
        run(work())


def test_a_misuse_found_in_a_task_keeps_its_exit_code() -> None:
    async def work() -> int:
        raise ExceptionGroup("outer", [Misuse("no such lane")])

    with pytest.raises(Misuse):
        run(work())


def test_bugs_are_not_hidden() -> None:
    async def work() -> int:
        raise ExceptionGroup("outer", [Unavailable("away"), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        run(work())


def test_a_closed_output_pipe_ends_the_command_quietly() -> None:
    code = "import sys; from handler.cli.main import main; sys.exit(main(['check', '-o', 'yaml']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert not done.stderr
