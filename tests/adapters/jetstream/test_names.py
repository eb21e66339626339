"""Claims about the names that certificates of NATS servers must be for."""

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trustme

from adapters.base import BrokerUnavailable
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.options import JetStreamOptions
from adapters.servers.nats import NatsServer
from tests.adapters.harness import until
from tests.adapters.jetstream.trio import address, connected, trio
from tests.patience import PATIENCE

pytestmark = pytest.mark.broker


def encrypted(directory: Path, names: Sequence[str]) -> AbstractAsyncContextManager[list[NatsServer]]:
    """A server for each name, which its certificate is for. `ca.pem` is the authority's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    extras = []
    for number, name in enumerate(names):
        file = directory / f"{number}.pem"
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(file)
        extras.append(f'tls {{ cert_file: "{file}", key_file: "{file}" }}')
    return trio(directory, extras=extras)


def options(directory: Path, name: str | None = None) -> JetStreamOptions:
    return JetStreamOptions(tls_ca=directory / "ca.pem", tls_server_name=name, connect_timeout=PATIENCE)


async def test_servers_told_of_by_their_ip_address_are_checked_against_the_name_that_led_to_them(
    tmp_path: Path,
) -> None:
    async with encrypted(tmp_path, ["localhost"] * 3) as servers:
        await servers[2].kill()
        async with connection(f"tls://localhost:{servers[0].port}", options(tmp_path)) as link:
            await until_told(link, servers[1])
            await servers[0].kill()
            await connected(link, servers[1])
            # Of this one, a server tells that was itself only told of.
            await servers[2].start()
            await until_told(link, servers[2])
            await servers[1].kill()
            await connected(link, servers[2])


async def until_told(link: Connection, server: NatsServer) -> None:
    async def told() -> bool:
        return address(server) in link.addresses

    await until(told)


async def test_a_server_told_of_with_another_name_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        encrypted(tmp_path, ["localhost", "elsewhere.example"]) as servers,
        connection(f"tls://localhost:{servers[0].port}", options(tmp_path)) as link,
    ):
        await until_told(link, servers[1])
        await servers[0].kill()

        async def refused() -> bool:
            return "elsewhere.example" in caplog.text or "Hostname mismatch" in caplog.text

        with caplog.at_level(logging.WARNING, "adapters"):
            await until(refused)
        assert f"NATS at {address(servers[1])} refuses us: " in caplog.text
        assert not link.connected
        await servers[0].start()

        async def back() -> bool:
            return link.connected and link.address == f"localhost:{servers[0].port}"

        await until(back)
        assert caplog.text.count("refuses us") == 1
        assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_each_address_of_the_url_is_checked_against_its_own_name(tmp_path: Path) -> None:
    async with encrypted(tmp_path, ["127.0.0.1", "localhost"]) as servers:
        first, second = f"127.0.0.1:{servers[0].port}", f"localhost:{servers[1].port}"
        for one, other in ((first, second), (second, first)):
            async with connection(f"tls://{one}", options(tmp_path)) as link:
                assert link.address == one
            with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
                async with connection(f"tls://{one.partition(':')[0]}:{other.partition(':')[2]}", options(tmp_path)):
                    pass


async def test_the_setting_names_the_certificates_of_all_servers(tmp_path: Path) -> None:
    async with encrypted(tmp_path, ["brokers.example"] * 2) as servers:
        for name in (None, "elsewhere.example"):
            with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
                async with connection(f"tls://{address(servers[0])}", options(tmp_path, name)):
                    pass
        async with connection(f"tls://{address(servers[0])}", options(tmp_path, "brokers.example")) as link:
            await until_told(link, servers[1])
            await servers[0].kill()
            await connected(link, servers[1])
