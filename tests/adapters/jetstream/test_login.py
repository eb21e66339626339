"""Claims about logging in to NATS with users, passwords and tokens that need escapes."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings, strategies as st

from adapters.jetstream import broker as jetstream
from adapters.servers import nats as natsserver
from tests.adapters.brokers import OPTIONS
from tests.long import examples

pytestmark = pytest.mark.broker
SPECIAL = "/?#@:%[] ,&=+$;!'()*\\\"<>^`{|}~é€😀\n\t\x7f\x00"
ANY = st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(SPECIAL)
# What begins with a dollar sign may be a hash of a password for the server.
TEXTS = st.text(alphabet=ANY, min_size=1, max_size=24).map(lambda text: text.replace("$", "x$", 1))


def quoted(text: str) -> str:
    """As the server's configuration file writes it."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\x{ord(c):02x}" for c in text) + '"'


@settings(max_examples=examples(6))
@given(passwords=st.lists(TEXTS, min_size=20, max_size=20))
def test_percent_encoded_passwords_log_in(tmp_path_factory: pytest.TempPathFactory, passwords: list[str]) -> None:
    users = [f"{{ user: {quoted(f'{at}/@:{text}')}, password: {quoted(text)} }}" for at, text in enumerate(passwords)]

    async def log_in() -> None:
        extra = f"authorization {{ users: [ {', '.join(users)} ] }}"
        async with natsserver.run(tmp_path_factory.mktemp("nats"), extra=extra) as server:
            for at, text in enumerate(passwords):
                credentials = f"{quote(f'{at}/@:{text}', safe='')}:{quote(text, safe='')}"
                async with jetstream.connect(server.url.replace("//", f"//{credentials}@"), options=OPTIONS) as broker:
                    assert broker.connected

    asyncio.run(log_in())


async def test_token_with_special_characters_logs_in_at_the_second_of_two_servers(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, extra=f"authorization {{ token: {quoted(SPECIAL)} }}") as server:
        url = f"nats://{quote(SPECIAL, safe='')}@127.0.0.1:1,127.0.0.1:{server.port}"
        async with jetstream.connect(url, options=OPTIONS) as broker:
            await broker.declare()
