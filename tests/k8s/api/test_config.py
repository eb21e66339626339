"""Configuration and credentials: found where kubectl finds them, kept fresh, with clear errors when they are wrong."""

import asyncio
import json
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from k8s.api import config
from k8s.api.cluster import connect
from k8s.api.config import Access, load
from k8s.base import ConfigError, NotFound, Unavailable
from tests.k8s.conftest import eventually, write_kubeconfig
from tests.k8s.server import Server, status
from tests.patience import PATIENCE

HTTP = {"server": "http://127.0.0.1:9"}


@asynccontextmanager
async def kept_fresh(access: Access) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(access.keep_fresh())
        yield
        task.cancel()


def plugin(directory: Path, body: str) -> dict[str, object]:
    """A user whose token comes from an exec plugin with this Python body."""
    script = directory / "plugin"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys, pathlib\nhere = pathlib.Path({str(directory)!r})\n{body}\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "interactiveMode": "Never"}
    }


PRINT = """print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
"status": {"token": (here / "current").read_text(), "expirationTimestamp": "2999-01-01T00:00:00Z"}}))"""


async def test_explicit_kubeconfig_with_namespace_and_token(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, {"server": "http://127.0.0.1:9/"}, {"token": " t0 \n"}, namespace="mine")
    access = await load(path, environ={"KUBECONFIG": "/nowhere"})
    assert access.base_url == "http://127.0.0.1:9"
    assert access.namespace == "mine"
    assert access.tls is None
    assert access.authorization == "Bearer t0"


async def test_namespace_is_default_and_no_credentials_are_no_header(tmp_path: Path) -> None:
    access = await load(write_kubeconfig(tmp_path, HTTP, {}), environ={})
    assert access.namespace == "default"
    assert access.authorization == ""


async def test_kubeconfig_variable_comes_before_the_service_account(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, HTTP, {"token": "t"})
    access = await load(environ={"KUBECONFIG": f"/nowhere:{path}", "KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert access.base_url == "http://127.0.0.1:9"


async def test_context_chooses_cluster_user_and_namespace(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    named = [
        {"name": "one", "cluster": {"server": "http://one"}},
        {"name": "two", "cluster": {"server": "http://two"}},
    ]
    path.write_text(
        json.dumps(
            {
                "current-context": "one",
                "clusters": named,
                "users": [{"name": "u", "user": {"username": "a", "password": "b"}}],
                "contexts": [
                    {"name": "one", "context": {"cluster": "one", "user": "u"}},
                    {"name": "two", "context": {"cluster": "two", "user": "u", "namespace": "n2"}},
                ],
            }
        )
    )
    access = await load(path, "two", environ={})
    assert (access.base_url, access.namespace) == ("http://two", "n2")
    assert access.authorization == "Basic YTpi"
    with pytest.raises(ConfigError, match="three"):
        await load(path, "three", environ={})


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "\x00", "kind: Config", "current-context: x", "contexts: 7\ncurrent-context: x"]
)
async def test_garbage_kubeconfig_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"^kubeconfig .*kubeconfig: .") as caught:
        await load(path, environ={})
    assert "\n" not in str(caught.value)


async def test_missing_kubeconfig_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent does not exist"):
        await load(tmp_path / "absent", environ={})


async def test_proxy_of_an_unsupported_kind_is_an_error_at_once(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, {**HTTP, "proxy-url": "socks5://p:1"}, {})
    with pytest.raises(ConfigError, match="socks5"):
        await load(path, environ={})


async def test_proxy_from_the_environment_is_not_used_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    for server, proxy in [
        ("http://outside.example", "http://proxy:3128"),
        ("http://inside.example", None),
        ("http://127.0.0.1:1", None),
        ("http://localhost:1", None),
    ]:
        access = await load(write_kubeconfig(tmp_path, {"server": server}, {}), environ={})
        assert access.proxy == proxy


def service_account(directory: Path, ca: trustme.CA, token: str = "t0\n") -> dict[str, str]:
    (directory / "token").write_text(token)
    (directory / "namespace").write_text("jobs\n")
    ca.cert_pem.write_to_path(directory / "ca.crt")
    return {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}


async def test_service_account_is_used_in_a_pod(tmp_path: Path) -> None:
    environ = service_account(tmp_path, trustme.CA())
    access = await load(environ=environ, service_account=tmp_path)
    assert access.base_url == "https://[fd00::1]:443"
    assert access.namespace == "jobs"
    assert access.authorization == "Bearer t0"


async def test_incomplete_service_account_is_one_clear_error(tmp_path: Path) -> None:
    environ = service_account(tmp_path, trustme.CA())
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match=r"service account in .*token"):
        await load(environ=environ, service_account=tmp_path)


async def test_service_account_token_is_read_again_even_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(config, "REFRESH_RETRY_SECONDS", 0.01)
    access = await load(environ=service_account(tmp_path, trustme.CA()), service_account=tmp_path)
    async with kept_fresh(access):
        (tmp_path / "token").unlink()
        await asyncio.sleep(0.05)
        assert access.authorization == "Bearer t0"
        (tmp_path / "token").write_text("t1")
        async with asyncio.timeout(PATIENCE):
            while access.authorization != "Bearer t1":
                await asyncio.sleep(0.005)


async def test_exec_plugin_is_asked_again_when_the_server_refuses_its_token(tmp_path: Path) -> None:
    (tmp_path / "current").write_text("t0")
    access = await load(write_kubeconfig(tmp_path, HTTP, plugin(tmp_path, PRINT)), environ={})
    assert access.authorization == "Bearer t0"
    async with kept_fresh(access):
        (tmp_path / "current").unlink()
        await access.refresh()  # fails, and must not end the refreshing
        assert access.authorization == "Bearer t0"
        (tmp_path / "current").write_text("t1")
        await access.refresh()
        assert access.authorization == "Bearer t1"


async def test_exec_plugin_that_fails_at_start_is_one_clear_error(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, HTTP, plugin(tmp_path, "sys.exit('no login')"))
    with pytest.raises(ConfigError, match="no login"):
        await load(path, environ={})


async def test_exec_plugin_that_hangs_delays_no_request_beyond_its_timeout(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "current").write_text("t0")
    path = write_kubeconfig(tmp_path, {"server": server.url}, plugin(tmp_path, PRINT))
    async with connect(kubeconfig=path, timeout=0.3) as cluster:
        plugin(tmp_path, "import time\nwhile not (here / 'go').exists(): time.sleep(0.05)\nsys.exit(1)")
        server.answer(401, status(401, "Unauthorized"))
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Unavailable):
                await cluster.read_job("ns", "j")
            with pytest.raises(NotFound):
                await cluster.read_job("ns", "j")
        assert "could not be refreshed" not in caplog.text, "it hung all the time"
        (tmp_path / "go").touch()
        await eventually(lambda: "could not be refreshed" in caplog.text)


@asynccontextmanager
async def tls_server(ca: trustme.CA) -> AsyncIterator[str]:
    """Answers only clients with a certificate of this authority, as `kube.example`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("kube.example").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "j"}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_certificates_of_both_sides_are_checked(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = ca.issue_cert("client@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    user: dict[str, object] = {
        "client-certificate": str(tmp_path / "client.pem"),
        "client-key": str(tmp_path / "client.pem"),
    }
    async with tls_server(ca) as url:
        good = {"server": url, "certificate-authority": str(tmp_path / "ca.pem"), "tls-server-name": "kube.example"}
        async with connect(kubeconfig=write_kubeconfig(tmp_path, good, user)) as cluster:
            assert (await cluster.read_job("ns", "j"))["metadata"]["name"] == "j"
        lax = {"server": url, "insecure-skip-tls-verify": True}
        async with connect(kubeconfig=write_kubeconfig(tmp_path, lax, user)) as cluster:
            assert (await cluster.read_job("ns", "j"))["metadata"]["name"] == "j"
        wrong_name = {"server": url, "certificate-authority": str(tmp_path / "ca.pem")}
        async with connect(kubeconfig=write_kubeconfig(tmp_path, wrong_name, user)) as cluster:
            with pytest.raises(Unavailable, match="certificate"):
                await cluster.read_job("ns", "j")


async def test_refreshing_ends_with_the_cluster(kubeconfig: Path) -> None:
    before = len(asyncio.all_tasks())
    async with connect(kubeconfig=kubeconfig):
        await eventually(lambda: len(asyncio.all_tasks()) > before)
    assert len(asyncio.all_tasks()) == before
