"""Claims about who may do what on RabbitMQ, and about TLS."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from adapters.base import Broker, BrokerUnavailable, Kind, Topic, TopicRefused
from adapters.connect import connect
from adapters.descriptor import Permissions
from adapters.rabbitmq.descriptor import ADAPTER
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.servers import rabbitmq as rabbitmqserver
from adapters.servers.free_port import free_port
from tests.adapters.brokers import RABBIT, Site
from tests.adapters.conftest import need_rabbit
from tests.adapters.harness import (
    REQUESTS,
    can_only_read,
    can_operate,
    make_event,
    next_delivery,
    publish,
    use_everything,
)

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="session")]


async def refusal(url: str, options: RabbitMQOptions = RABBIT) -> str:
    with pytest.raises(BrokerUnavailable) as refused:
        async with connect(url, options=options):
            pass
    return str(refused.value)


async def test_refused_connections_are_explained_without_the_password(rabbit: Site) -> None:
    where = f"127.0.0.1:{rabbit.server.port}"
    wrong = await refusal(f"amqp://guest:secret@{where}")
    assert "ACCESS_REFUSED" in wrong
    assert where in wrong
    missing = await refusal(f"amqp://guest:guest@{where}/nowhere")
    assert "nowhere" in missing
    unreachable = await refusal("amqp://guest:secret@127.0.0.1:1")
    assert "127.0.0.1:1" in unreachable
    assert "secret" not in wrong + unreachable


@pytest.mark.parametrize("password", ["pa/ss?w#o@r:d", "100%25 %2F+&=", "[ü€]\\\"' `{|}~", "a,nats://b:1@c"])
async def test_percent_encoded_users_passwords_and_virtual_hosts_log_in(rabbit: Site, password: str) -> None:
    user, vhost = f"{rabbit.instance}:{password}", f"{rabbit.instance}/{password}"
    await rabbit.server.ctl("add_user", user, password)
    await rabbit.server.ctl("add_vhost", vhost)
    await rabbit.server.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{rabbit.server.port}"
    async with connect(f"amqp://{login}/{quote(vhost, safe='')}", options=RABBIT) as broker:
        await broker.declare()
    # The virtual host was the one that was meant.
    assert "jobrelay.requests" in await rabbit.server.ctl("list_queues", "-p", vhost, "name")
    wrong = await refusal(
        f"amqp://{quote(user, safe='')}:{quote(password + 'x', safe='')}@127.0.0.1:{rabbit.server.port}"
    )
    assert "ACCESS_REFUSED" in wrong
    assert password not in wrong


async def test_user_without_the_right_to_declare_can_check_publish_and_consume(rabbit: Site) -> None:
    name = rabbit.instance
    url = f"amqp://{name}:pw@127.0.0.1:{rabbit.server.port}"
    async with connect(rabbit.server.url, instance=name, options=RABBIT) as owner:
        await owner.declare()
    await rabbit.server.ctl("add_user", name, "pw")
    await rabbit.server.ctl("set_permissions", name, "^$", rf"^{name}\.requests.*", rf"^{name}\.requests.*")
    async with connect(url, instance=name, options=RABBIT) as user:
        await publish(user, 1)
        for topic in (Topic(Kind.REPLY, "answers.here"), Topic(Kind.CONTROL)):
            with pytest.raises(TopicRefused, match="ACCESS_REFUSED"):
                await user.publish(topic, make_event())
        async with user.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            await (await next_delivery(subscription)).retry(0)
            assert (await next_delivery(subscription)).attempt == 2
    await rabbit.server.ctl("set_permissions", name, "^$", ".*", ".*")
    async with connect(url, instance=name, options=RABBIT) as user:
        await user.check()
        with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
            await user.declare()


async def test_documented_permissions_are_enough_for_everything(rabbit: Site) -> None:
    name = rabbit.instance
    url = f"amqp://{name}:pw@127.0.0.1:{rabbit.server.port}"
    allowed = ADAPTER.permissions(name)
    await rabbit.server.ctl("add_user", name, "pw")
    patterns = (*allowed["configure"], *allowed["write"], *allowed["read"])
    await rabbit.server.ctl("set_permissions", name, *patterns)
    async with connect(url, instance=name, options=RABBIT) as broker:
        await use_everything(broker)


@pytest.mark.parametrize(("needed", "only"), [(ADAPTER.reading, can_only_read), (ADAPTER.operating, can_operate)])
async def test_documented_permissions_of_who_reads_or_operates_are_enough_for_that_and_for_nothing_else(
    rabbit: Site, needed: Permissions, only: Callable[[Broker, Broker], Awaitable[None]]
) -> None:
    name = rabbit.instance
    url = f"amqp://{name}:pw@127.0.0.1:{rabbit.server.port}"
    allowed = needed(name)
    await rabbit.server.ctl("add_user", name, "pw")
    patterns = (*allowed["configure"], *allowed["write"], *allowed["read"])
    await rabbit.server.ctl("set_permissions", name, *patterns)
    async with (
        connect(rabbit.server.url, instance=name, options=RABBIT) as owner,
        connect(url, instance=name, options=RABBIT) as user,
    ):
        await owner.declare()
        await only(user, owner)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def encrypted(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[str]:
    need_rabbit()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    port = free_port()
    lines = (
        f"listeners.ssl.1 = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {tmp_path}/ca.pem",
        f"ssl_options.certfile = {tmp_path}/server.pem",
        f"ssl_options.keyfile = {tmp_path}/server.key",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    )
    listeners = [("127.0.0.1", port)]
    async with rabbitmqserver.run(tmp_path / "rabbit", extra="\n".join(lines), listeners=listeners):
        yield f"amqps://guest:guest@127.0.0.1:{port}"


@pytest.mark.asyncio(loop_scope="function")
async def test_both_sides_show_certificates(encrypted: str, tmp_path: Path) -> None:
    ca, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    async with connect(encrypted, options=RabbitMQOptions(tls_ca=ca, tls_cert=client, tls_key=client)) as broker:
        await broker.declare()
        await broker.publish(REQUESTS, make_event())
    await refusal(encrypted, RabbitMQOptions(tls_ca=ca))
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    untrusted = await refusal(encrypted, RabbitMQOptions(tls_ca=other, tls_cert=client, tls_key=client))
    assert "certificate" in untrusted.lower()
    assert "certificate" in (await refusal(encrypted)).lower()


@pytest.mark.asyncio(loop_scope="function")
async def test_certificate_is_for_the_name_of_the_address_or_for_that_of_the_setting(
    encrypted: str, tmp_path: Path
) -> None:
    ca, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    options = RabbitMQOptions(tls_ca=ca, tls_cert=client, tls_key=client)
    other = encrypted.replace("127.0.0.1", "localhost")
    assert "localhost" in await refusal(other, options)
    async with connect(other, options=replace(options, tls_server_name="127.0.0.1")):
        pass
    assert "certificate" in (await refusal(encrypted, replace(options, tls_server_name="rabbit.example"))).lower()
