"""Claims about the members of queues, as RabbitMQ's management API tells them.

`management/` has what it answered on a cluster of three whose third node was down, about the instance `single`, whose
queues have members on the other two.
"""

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.base import BrokerUnavailable, Replicas
from adapters.rabbitmq.members import MOST_BYTES, SETTING, Members
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.topology import QueueNames, queues

RECORDED = sorted((Path(__file__).parent / "management").iterdir())
LOGIN = aiohttp.encode_basic_auth("us/er", "p@ss")
URL = "amqp://us%2Fer:p%40ss@127.0.0.1:1/"
GROW = r"rabbitmq-queues grow {} all --vhost-pattern '^/$' --queue-pattern '^single\.'"
NAMES = QueueNames("single")


class Api:
    """Answers as the API did."""

    def __init__(self, recorded: Path) -> None:
        self.answers: dict[str, Any] = json.loads(recorded.read_text())
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.instead: web.Response | None = None

    async def answer(self, request: web.Request) -> web.Response:
        if self.instead is not None:
            return self.instead
        if request.headers.get("Authorization") != LOGIN:
            return web.json_response({"error": "not_authorised", "reason": "Not monitor user"}, status=401)
        self.asked.append((request.raw_path.partition("?")[0], dict(request.query)))
        if request.path == "/proxy/api/nodes":
            return web.json_response(self.answers["nodes"])
        return web.json_response(self.answers["live" if "disable_stats" in request.query else "statistics"])

    def nodes(self, **running: bool) -> None:
        """It has these nodes instead, and says whether each runs."""
        self.answers["nodes"] = [{"name": f"{name}@localhost", "running": runs} for name, runs in running.items()]

    def without(self, *names: str) -> None:
        """It knows nothing of the members of these queues."""
        for answer in (self.answers["live"], self.answers["statistics"]):
            for item in answer["items"]:
                if item["name"] in names:
                    item.pop("members", None)


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
def api(request: pytest.FixtureRequest) -> Api:
    return Api(request.param)


@pytest.fixture
async def options(api: Api) -> AsyncIterator[RabbitMQOptions]:
    app = web.Application()
    app.router.add_get("/{path:.*}", api.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield RabbitMQOptions(management_url=f"http://127.0.0.1:{server.port}/proxy/")


async def found(options: RabbitMQOptions, url: str = URL) -> dict[str, Replicas]:
    return {one.store: one for one in await Members(url, options, NAMES).replicas()}


async def test_each_queue_is_told_with_its_members_and_those_that_are_up(api: Api, options: RabbitMQOptions) -> None:
    api.nodes(n1=True, n2=False, n3=True)
    told = await found(options)
    assert list(told) == [f"queue {queue.name}" for queue in queues(NAMES)]
    assert {(one.members, one.online, one.wanted) for one in told.values()} == {(2, 1, 3)}


async def test_what_lacks_is_given_to_the_nodes_without_by_one_command_for_all_queues_and_one_for_the_log(
    api: Api, options: RabbitMQOptions
) -> None:
    told = await found(options)
    log = "rabbitmq-streams add_replica single.lifecycle.log n3@localhost --vhost /"
    assert told["queue single.lifecycle.log"].remedy == f"`{log}` (once it is up)"
    assert {one.remedy for one in told.values()} == {
        f"`{log}` (once it is up)",
        f"`{GROW.format('n3@localhost')}` (once it is up)",
    }
    api.nodes(n1=True, n2=True, n3=True)
    assert {one.remedy for one in (await found(options)).values()} == {f"`{log}`", f"`{GROW.format('n3@localhost')}`"}


async def test_the_setting_says_how_many_there_should_be_and_nodes_that_run_come_first(
    api: Api, options: RabbitMQOptions
) -> None:
    assert {one.remedy for one in (await found(replace(options, replicas=2))).values()} == {""}
    five = replace(options, replicas=5)
    api.nodes(n1=True, n2=True, n3=False, n4=True)
    control = (await found(five))["queue single.control"]
    assert control.wanted == 5
    assert control.remedy == (
        f"`{GROW.format('n4@localhost')}` and `{GROW.format('n3@localhost')}` (once it is up) "
        "and what is said here once 1 more node has joined the cluster"
    )
    # Not all nodes should have a member: what is for one queue must not give others too many.
    control = (await found(replace(options, replicas=3)))["queue single.control"]
    assert control.remedy == "`{}`".format(GROW.format("n4@localhost").replace(r"single\.", "single\\.control$"))


async def test_a_single_node_is_no_cluster_unless_more_are_wanted(api: Api, options: RabbitMQOptions) -> None:
    api.nodes(n1=True)
    assert await found(options) == {}
    assert await found(replace(options, replicas=1)) == {}
    told = await found(replace(options, replicas=3))
    assert {one.remedy for one in told.values()} == {"what is said here once 1 more node has joined the cluster"}


async def test_a_queue_of_which_nothing_is_known_is_left_out(api: Api, options: RabbitMQOptions) -> None:
    api.without("single.lifecycle.log")
    assert "queue single.lifecycle.log" not in await found(options)


async def test_one_page_of_our_queues_is_asked_for_in_the_virtual_host_of_the_url(
    api: Api, options: RabbitMQOptions
) -> None:
    await found(options, URL + "team%2Fa")
    paths = {path for path, _ in api.asked}
    assert paths == {"/proxy/api/nodes", "/proxy/api/queues/team%2Fa"}
    for path, query in api.asked:
        if "queues" in path:
            assert query["name"] == r"^single\."
            assert query["columns"] == "name,members"


async def test_errors_name_the_setting_and_what_is_needed_and_no_password(api: Api, options: RabbitMQOptions) -> None:
    with pytest.raises(BrokerUnavailable, match=rf"{SETTING} answers 401.* tag `monitoring`") as refused:
        await found(options, URL.replace("p%40ss", "secret"))
    assert "secret" not in str(refused.value)
    for status, words in ((403, "tag `monitoring`"), (404, "before /api"), (302, "before /api")):
        api.instead = web.Response(status=status, headers={"Location": "/elsewhere"})
        with pytest.raises(BrokerUnavailable, match=rf"{SETTING} answers {status}.*{words}"):
            await found(options)
    with pytest.raises(BrokerUnavailable, match=rf"{SETTING}: .*`rabbitmq_management` has to be enabled"):
        await found(replace(options, management_url="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    "body", ["", "<html>", "[1]", "{}", "null", '[{"name": "n1"}]', '{"items": 1}', "[" * 10_000, '"text"']
)
async def test_an_answer_that_is_no_such_api_s_is_an_error(api: Api, options: RabbitMQOptions, body: str) -> None:
    api.instead = web.Response(text=body)
    with pytest.raises(BrokerUnavailable, match=SETTING):
        await found(options)


async def test_tls_is_that_of_the_broker(api: Api, tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("rabbit.example").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    app = web.Application()
    app.router.add_get("/{path:.*}", api.answer)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=tls)
    there = RabbitMQOptions(management_url=f"https://127.0.0.1:{server.port}/proxy", tls_ca=tmp_path / "ca.pem")
    assert await found(replace(there, tls_server_name="rabbit.example"))
    for options in (there, replace(there, tls_ca=None, tls_server_name="rabbit.example")):
        with pytest.raises(BrokerUnavailable, match=rf"{SETTING}: 127\.0\.0\.1:\d+: .*certificate verify failed"):
            await found(options)
    await server.close()


async def test_an_answer_is_bounded_in_size_and_time(api: Api, options: RabbitMQOptions) -> None:
    api.instead = web.Response(body=b" " * (MOST_BYTES + 1))
    with pytest.raises(BrokerUnavailable, match=f"more than {MOST_BYTES} bytes"):
        await found(options)
    with pytest.raises(BrokerUnavailable, match="no answer in time"):
        await found(replace(options, publish_timeout=1e-6))
