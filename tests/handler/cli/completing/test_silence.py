"""Whatever is wrong: nothing is offered, nothing is said, and the prompt is back within a second."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server

import pytest
import trustme

from handler.local.stack import LOOPBACK
from tests.handler.cli.completing.asking import ask
from tests.handler.commandline import make_environ
from tests.patience import within


@contextmanager
def answering(status: int, seen: list[str], *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of an API server that gives this status to whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def assert_silent(line: str, environ: dict[str, str], *, cwd: Path | None = None) -> None:
    answer = ask(line, environ, cwd=cwd, patience=None)
    assert (answer.returncode, answer.items, answer.stderr) == (0, [], "")
    assert answer.seconds < within(1.0)


@pytest.mark.stricter
def test_no_cluster(tmp_path: Path) -> None:
    assert_silent("jobrelay get ", make_environ(tmp_path))
    assert_silent("jobrelay get ", {"HOME": str(tmp_path)})
    assert_silent("jobrelay get ", {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "127.0.0.1"})


@pytest.mark.stricter
@pytest.mark.parametrize("line", ["jobrelay get ", "jobrelay trigger n", "jobrelay logs x -c ", "jobrelay get -n "])
def test_a_cluster_that_does_not_answer(line: str, tmp_path: Path) -> None:
    with create_server((LOOPBACK, 0)) as hole:
        environ = make_environ(tmp_path, api_server=hole.getsockname()[1])
        answer = ask(line, environ, patience=None)
    # Of namespaces, that of the kubeconfig needs nobody's answer.
    assert answer.values in ([], ["default"] if line.endswith("-n ") else [])
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.seconds < within(1.0)


@pytest.mark.stricter
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 200])
def test_a_refusal_and_nonsense(status: int, tmp_path: Path) -> None:
    seen: list[str] = []
    with answering(status, seen) as port:
        assert_silent("jobrelay cancel ", make_environ(tmp_path, api_server=port))


def test_only_questions_are_sent(tmp_path: Path) -> None:
    seen: list[str] = []
    lines = (
        "get ",
        "cancel ",
        "trigger ",
        "logs x -c ",
        "uninstall -n ",
        "dead replay ",
        "get --source ",
        "cancel x --job ",
    )
    with answering(200, seen) as port:
        for line in lines:
            ask(f"jobrelay {line}", make_environ(tmp_path, api_server=port))
    assert seen
    assert {request.split()[0] for request in seen} == {"GET"}


@pytest.mark.stricter
def test_an_expired_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOOPBACK, not_after=datetime.now(UTC) - timedelta(days=1)).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    with answering(200, [], tls=context) as port:
        environ = make_environ(tmp_path, api_server=port)
        file = Path(environ["JOBRELAY_KUBECONFIG"])
        text = file.read_text().replace("http://", "https://")
        file.write_text(text.replace("{server:", f"{{certificate-authority: {tmp_path}/ca.crt, server:"))
        assert_silent("jobrelay get ", environ)


@pytest.mark.stricter
@pytest.mark.parametrize("script", ["sleep 30", "echo no >&2; exit 1", "read answer </dev/stdin; exit 1"])
def test_a_plugin_for_credentials_that_asks_fails_or_takes_long(script: str, tmp_path: Path) -> None:
    environ = make_environ(tmp_path)
    file = Path(environ["JOBRELAY_KUBECONFIG"])
    plugin = f"exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, '{script}']}}"
    file.write_text(file.read_text().replace("token: none", plugin))
    assert_silent("jobrelay get ", environ)


@pytest.mark.stricter
@pytest.mark.parametrize(
    "broken",
    [
        {"JOBRELAY_INSTANCE": "Not Valid"},
        {"JOBRELAY_KUBECONFIG": "/nowhere"},
        {"JOBRELAY_KUBE_CONTEXT": "nowhere"},
        {"JOBRELAY_HISTORY": "sqlite:///nowhere/history.db"},
        {"JOBRELAY_HISTORY": "mysql://nowhere"},
    ],
)
def test_settings_that_are_wrong(broken: dict[str, str], tmp_path: Path) -> None:
    environ = make_environ(tmp_path) | broken
    assert_silent("jobrelay history show ", environ)
    assert_silent("jobrelay get ", environ)


def test_a_kubeconfig_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("\x00: [")
    for line in ("jobrelay get ", "jobrelay get --context "):
        assert_silent(line, {"KUBECONFIG": str(tmp_path / "config")})


@pytest.mark.parametrize("line", ["jobrelay get --nonsense ", "jobrelay nonsense x", "jobrelay dead show "])
def test_lines_that_are_no_commands(line: str, tmp_path: Path) -> None:
    assert_silent(line, make_environ(tmp_path))
