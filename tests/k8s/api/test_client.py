"""The client against a server that misbehaves: every failure is one of our errors, in time."""

import asyncio
import time
from pathlib import Path

import pytest
from aiohttp import web

from k8s.api.cluster import Cluster, connect
from k8s.base import Conflict, Expired, Malformed, NotFound, Refused, Unavailable
from tests.k8s.api.http.scripted import Line, scripted
from tests.k8s.conftest import eventually, write_kubeconfig
from tests.k8s.server import JOBS, PODS, Server, status
from tests.patience import PATIENCE, within

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": "ns", "name": "j"}, "spec": {}}


async def test_create_returns_uid_and_version_and_asks_for_no_more(cluster: Cluster, server: Server) -> None:
    created = await cluster.create_job(JOB)
    assert (created.uid, created.version) == ("uid-100", "101")
    assert server.requests == [("POST", f"{JOBS}?fieldManager=jobrelay&fieldValidation=Strict")]
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.headers[0]["Accept"].startswith("application/json;as=PartialObjectMetadata")
    assert server.headers[0]["Accept"].endswith(", application/json")


async def test_second_create_is_a_conflict(cluster: Cluster) -> None:
    await cluster.create_job(JOB)
    with pytest.raises(Conflict):
        await cluster.create_job(JOB)


async def test_429_says_when_to_come_back_and_is_not_retried(cluster: Cluster, server: Server) -> None:
    server.answer(429, status(429, "TooManyRequests"), headers={"Retry-After": "2"})
    with pytest.raises(Unavailable) as caught:
        await cluster.create_job(JOB)
    assert caught.value.retry_after == 2
    assert len(server.requests) == 1


async def test_post_is_sent_once_even_if_the_connection_breaks(cluster: Cluster, server: Server) -> None:
    async def slam(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.fault(slam, method="POST", times=5)
    with pytest.raises(Unavailable):
        await cluster.create_job(JOB)
    assert len(server.requests) == 1


@pytest.mark.stricter
async def test_hanging_server_is_unavailable_after_the_timeout(kubeconfig: Path, server: Server) -> None:
    server.hang()
    async with connect(kubeconfig=kubeconfig, timeout=0.2) as cluster:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="no answer in time"):
            await cluster.read_job("ns", "j")
        assert time.monotonic() - begun < within(2)


@pytest.mark.stricter
async def test_timeout_of_a_single_request_is_kept(cluster: Cluster, server: Server) -> None:
    server.hang()
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await cluster.patch_job("ns", "j", {}, timeout=0.1)
    assert time.monotonic() - begun < within(2)


async def test_answer_that_stops_in_the_middle_is_unavailable(cluster: Cluster, server: Server) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    server.fault(half)
    with pytest.raises(Unavailable):
        await cluster.read_job("ns", "j")


async def test_refused_connection_is_unavailable(cluster: Cluster, server: Server) -> None:
    await server.stop()
    with pytest.raises(Unavailable):
        await cluster.read_job("ns", "j")


async def test_answer_that_is_no_object_is_not_from_kubernetes(cluster: Cluster, server: Server) -> None:
    server.answer(200, "<html>", times=1)
    with pytest.raises(Unavailable):
        await cluster.read_job("ns", "j")
    server.answer(200, "[]", times=1)
    with pytest.raises(Unavailable):
        await cluster.read_job("ns", "j")


async def test_redirect_is_not_followed(cluster: Cluster, server: Server) -> None:
    server.answer(302, headers={"Location": "/elsewhere"}, times=5)
    with pytest.raises(Unavailable):
        await cluster.read_job("ns", "j")
    assert len(server.requests) == 1


async def test_hostile_names_stay_one_segment_of_the_path(cluster: Cluster, server: Server) -> None:
    with pytest.raises(NotFound):
        await cluster.read_job("ns", "../../x?y#z")
    assert server.requests == [("GET", f"{JOBS}/..%2F..%2Fx%3Fy%23z")]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_name_that_would_lead_to_another_path_is_not_sent(cluster: Cluster, server: Server, name: str) -> None:
    with pytest.raises(Refused):
        await cluster.delete_job("ns", name)
    assert server.requests == []


async def test_401_reads_the_credentials_again_and_repeats_once(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    kubeconfig = write_kubeconfig(tmp_path, {"server": server.url}, {"tokenFile": str(token)})
    async with connect(kubeconfig=kubeconfig) as cluster:

        async def expire(_: web.Request) -> web.Response:
            token.write_text("new\n")
            return web.json_response(status(401, "Unauthorized"), status=401)

        server.fault(expire)
        await cluster.create_job(JOB)
        assert [sent["Authorization"] for sent in server.headers] == ["Bearer old", "Bearer new"]
        server.answer(401, status(401, "Unauthorized"), times=2)
        with pytest.raises(Unavailable):
            await cluster.read_job("ns", "j")
        assert len(server.requests) == 4


async def test_failure_says_what_was_asked_and_what_happened(kubeconfig: Path, server: Server) -> None:
    await server.stop()
    address = server.url.removeprefix("http://")
    async with connect(kubeconfig=kubeconfig) as cluster:
        with pytest.raises(Unavailable, match=rf"POST {JOBS}: cannot connect to {address}: "):
            await cluster.create_job(JOB)


async def test_credentials_that_cannot_be_sent_are_not_shown(server: Server, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path, {"server": server.url}, {"token": "secret\u20ac"})
    async with connect(kubeconfig=kubeconfig) as cluster:
        with pytest.raises(Unavailable, match="the value of the header Authorization") as caught:
            await cluster.create_job(JOB)
    assert "secret" not in str(caught.value)
    assert server.requests == []


async def test_everything_goes_through_the_proxy_of_the_kubeconfig(tmp_path: Path) -> None:
    async def refuse(line: Line) -> None:
        request = await line.request()
        assert request.startswith(f"POST http://k8s.example:8080{JOBS}?".encode())
        await line.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!")

    async with scripted(refuse) as proxy:
        server = {"server": "http://k8s.example:8080", "proxy-url": f"http://127.0.0.1:{proxy.port}"}
        async with connect(kubeconfig=write_kubeconfig(tmp_path, server, {})) as cluster:
            with pytest.raises(Unavailable, match="403 no!"):
                await cluster.create_job(JOB)


async def test_list_reads_page_after_page(cluster: Cluster, server: Server) -> None:
    server.page = 2
    for number in range(5):
        server.put(JOBS, {"metadata": {"name": f"j{number}", "uid": "u"}})
    found = await cluster.list_jobs("ns", "a=b")
    assert [job["metadata"]["name"] for job in found] == ["j0", "j1", "j2", "j3", "j4"]
    assert server.requests[0] == ("GET", f"{JOBS}?labelSelector=a%3Db&limit=50")


async def test_list_starts_again_when_its_page_token_expires(cluster: Cluster, server: Server) -> None:
    server.page = 2
    for number in range(3):
        server.put(JOBS, {"metadata": {"name": f"j{number}", "uid": "u"}})
    server.answer(410, status(410, "Expired"), part="continue=")
    assert len(await cluster.list_jobs("ns", "a=b")) == 3
    server.answer(410, status(410, "Expired"), part="continue=", times=100)
    with pytest.raises(Expired):
        await cluster.list_jobs("ns", "a=b")


async def test_jobs_are_found_in_several_namespaces_and_a_malformed_job_is_skipped(
    cluster: Cluster, server: Server
) -> None:
    other = JOBS.replace("/ns/", "/other/")
    server.put(JOBS, {"metadata": {"name": "a", "namespace": "ns", "uid": "u"}, "spec": {}})
    server.put(JOBS, {"metadata": {"name": "broken", "uid": "v"}, "spec": {"parallelism": "many"}})
    server.put(other, {"metadata": {"name": "b", "namespace": "other", "uid": "w"}, "spec": {}})
    assert [(job.namespace, job.name) for job in await cluster.find_jobs(("ns", "other"), "a=b")] == [
        ("ns", "a"),
        ("other", "b"),
    ]
    skipped: list[Malformed] = []
    assert [job.name for job in await cluster.find_jobs(["ns"], "a=b", skipped=skipped.append)] == ["a"]
    (error,) = skipped
    assert "no Job" in str(error)
    assert "parallelism" in str(error)


async def test_each_page_of_jobs_is_read_before_the_next_is_asked_for(cluster: Cluster, server: Server) -> None:
    server.page = 1
    for name in ("a", "b"):
        server.put(JOBS, {"metadata": {"name": name, "uid": name}, "spec": {"parallelism": "many"}})
    server.answer(410, status(410, "Expired"), part="continue=", times=100)
    skipped: list[Malformed] = []
    with pytest.raises(Expired):
        await cluster.find_jobs(["ns"], "a=b", skipped=skipped.append)
    assert skipped


async def test_unreadable_pod_does_not_hide_the_others(cluster: Cluster, server: Server) -> None:
    server.put(PODS, {"metadata": {"name": "a", "uid": "u"}, "status": {"phase": 7}})
    server.put(PODS, {"metadata": {"name": "b", "uid": "v"}})
    assert [pod.name for pod in await cluster.pods_of("ns", "x")] == ["b"]


async def test_delete_is_foreground_and_only_of_the_object_with_that_uid(cluster: Cluster, server: Server) -> None:
    server.put(JOBS, {"metadata": {"name": "j", "uid": "u"}})
    await cluster.delete_job("ns", "j", uid="u")
    assert server.bodies[0]["propagationPolicy"] == "Foreground"
    assert server.bodies[0]["preconditions"] == {"uid": "u"}


@pytest.mark.stricter
async def test_server_time_is_by_the_servers_clock_and_never_ahead(cluster: Cluster, server: Server) -> None:
    assert abs(cluster.server_time() - time.time()) < 60, "our clock until the first answer"
    server.answer(404, status(404, "NotFound", name="j"), headers={"Date": "Sat, 01 Jan 2000 00:00:00 GMT"})
    with pytest.raises(NotFound):
        await cluster.read_job("ns", "j")
    epoch = 946_684_800
    assert epoch <= cluster.server_time() < epoch + within(1)


async def test_stream_ends_with_unavailable_when_silent(cluster: Cluster, server: Server) -> None:
    params = {"watch": "1", "resourceVersion": "100"}
    with pytest.raises(Unavailable):
        async with cluster.client.stream(JOBS, params=params, silence=0.1) as pieces:
            async for _ in pieces:
                pass


async def test_leaving_a_stream_early_closes_it(cluster: Cluster, server: Server) -> None:
    async with asyncio.timeout(PATIENCE), cluster.client.stream(JOBS, params={"watch": "1", "resourceVersion": "100"}):
        assert len(server.watchers) == 1
    await eventually(lambda: not server.watchers)


async def test_log_of_a_pod_comes_in_pieces(cluster: Cluster, server: Server) -> None:
    server.answer(200, "line 1\nline 2\n", part="/log")
    pieces = [piece async for piece in cluster.pod_log("ns", "p", tail=2)]
    assert b"".join(pieces) == b"line 1\nline 2\n"
    assert server.requests == [("GET", f"{PODS}/p/log?tailLines=2")]
    server.answer(200, "line 1\nline 2\n", part="/log")
    asked = cluster.pod_log("ns", "p", container="c", since=1e9 + 0.7, limit_bytes=9, timestamps=True, previous=True)
    assert b"".join([piece async for piece in asked]) == b"line 1\nline 2\n"
    query = "container=c&sinceTime=2001-09-09T01%3A46%3A40Z&limitBytes=9&timestamps=true&previous=true"
    assert server.requests[-1] == ("GET", f"{PODS}/p/log?{query}")
    with pytest.raises(NotFound):
        _ = [piece async for piece in cluster.pod_log("ns", "absent")]
