"""Claims about URLs of brokers: what they mean, what is refused, and that nothing of a password is shown."""

import logging
import re
import traceback
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given, strategies as st

from adapters.connect import connect
from adapters.jetstream.client import SafeClient
from adapters.rabbitmq.addresses import Address
from adapters.rabbitmq.client import _for_library
from adapters.registry import adapter_of, shown
from adapters.urls import BrokerURL, Host, InvalidURL, hidden, listed, parse
from handler.settings.settings import InvalidSettings, Settings

SCHEMES = ("nats", "tls", "amqp", "amqps")
SPECIAL = "/?#@:%[] ,&=+$;!'()*\\\"<>^`{|}~é\n\x7f"
PASSWORDS = st.text(alphabet=st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1, max_size=30)
RAW = st.text(alphabet=st.sampled_from(SPECIAL + "abcXYZ019-._"), min_size=4, max_size=20)


def read(url: str) -> BrokerURL:
    return parse(url, adapter_of(url).rules)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(user=PASSWORDS, password=PASSWORDS)
def test_what_is_percent_encoded_is_read_back(scheme: str, user: str, password: str) -> None:
    url = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@broker:4222"
    found = read(url)
    assert (found.user, found.password, found.hosts) == (user, password, (Host("broker", 4222),))
    assert shown(url) == f"{scheme}://***@broker:4222"
    assert Settings.from_env({"JOBRELAY_SOURCES": url}).printable()["JOBRELAY_SOURCES"] == shown(url)


@pytest.mark.parametrize(
    "form",
    [
        "amqp://user:{}@broker:5672/vhost",
        "amqp://user:{}@a:4222,b:4222/vhost",
        "nats://user:{}@a:4222,b:4222",
        "nats://{}@a",
    ],
)
@given(password=RAW)
@example(password="pa/ss@x")
@example(password="1234/abcd")
@example(password="p@broker/")
@example(password="a,nats://b")
@example(password="1,amqp://broker")
def test_a_raw_password_is_refused_or_read_as_it_is_written(form: str, password: str) -> None:
    url = form.format(password)
    urls = listed(url)
    try:
        (found,) = (read(item) for item in urls)
    except ValueError:
        # Refused, or more than one URL: see the next claim.
        return
    whole = found.user if found.password is None else f"{found.user}:{found.password}"
    assert whole == unquote(url.partition("://")[2].rpartition("@")[0])
    assert found.where in ("broker:5672", "a:4222, b:4222", "a")
    # Only by chance is one part of the rest.
    assert password not in re.sub("(broker:5672|a:4222,b:4222)(/vhost)?", "", shown(url))
    assert password not in repr(found)


@given(password=RAW)
def test_a_refusal_depends_on_the_special_characters_alone(password: str) -> None:
    said, other = (refusal(f"amqp://user:{text}@broker/v") for text in (password, swapped(password)))
    assert said == other


def swapped(password: str) -> str:
    """Other letters and digits in the same places; those that may be escapes stay."""
    escapes = {place for at, character in enumerate(password) if character == "%" for place in (at + 1, at + 2)}
    return "".join(
        "k" if character.isalnum() and character.isascii() and place not in escapes else character
        for place, character in enumerate(password)
    )


def refusal(url: str) -> str:
    """Everything that any part of us could print about the URL; empty if it is accepted."""
    printed = ""
    try:
        Settings.from_env({"JOBRELAY_SOURCES": url})
    except InvalidSettings as error:
        printed = str(error) + logged(error)
    try:
        connect(url)
    except ValueError as error:
        printed += logged(error)
    return printed


def logged(error: Exception) -> str:
    """As a log shows it, with the errors that it came from; without the places in our sources."""
    text = logging.Formatter().formatException((type(error), error, error.__traceback__))
    quoted = {line for line in text.splitlines() if not line.startswith("  ")}
    return "\n".join(sorted(quoted)) + "".join(traceback.format_exception_only(error))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://user:pa/hunter2@broker/v", "/ is written %2F; an @ after the host is written %40 too"),
        ("amqp://user:pa?hunter2@broker/v", "? is written %3F"),
        ("amqp://user:pa#hunter2@broker/v", "# is written %23"),
        ("amqp://user:pa@hunter2@broker/v", "user and password of the amqp:// URL, @ is written %40"),
        ("nats://user:pa%hunter2@broker", "a % that begins no escape is written %25"),
        ("nats://user:pa hunter2@broker", "a space is written %20"),
        ("nats://user:hu[nt]er2@broker", "[ is written %5B, ] is written %5D"),
        ("nats://user:pa,hunter2@broker", "a comma is written %2C"),
        ("nats://user:pa\thunter2@broker", "the character U+0009 is written %09"),
        ("nats://user:huntör2@broker", "ö is written %C3%B6, and so on outside ASCII"),
        ("nats://user:pass%FFhunter2@broker", "the escapes in the nats:// URL are not UTF-8"),
        ("amqp://user:pass%00hunter2@broker", "%00 in the user or password"),
        ("amqp://broker/pass@hunter2", "an @ after the host is written %40 too"),
        ("nats://user:hunter@a:4222,user:hunter@b:4222", "@ is written %40"),
        ("nats://user:hunter2", "the port in the nats:// URL is no number from 1 to 65535"),
        ("nats://broker:70000", "the port"),
        ("nats://broker:0", "the port"),
        ("nats://::1:4222", "an IPv6 address is written [::1]:port"),
        ("nats://[hunter2]:4222", "the host in the nats:// URL is no name and no address"),
        ("nats://user:hunter2@", "the nats:// URL names no host"),
        ("nats://", "the nats:// URL names no host"),
        ("amqp://:5672", "the host in the amqp:// URL is no name"),
        ("nats://pass hunter2", "the host"),
        ("nats://broker/hunter2", "the nats:// URL ends after its hosts; / is written %2F in a password"),
        ("amqp://broker/pass#hunter2", "in the path of the amqp:// URL, # is written %23"),
        ("amqp://broker/?cafile=pass hunter2", "in the parameters of the amqp:// URL, a space is written %20"),
        (
            "amqps://broker/?cafile=/no/hunter2",
            "the parameter cafile in the amqps:// URL names a file that does not exist",
        ),
        ("amqps://a,b/?certfile=hunter2", "the parameter certfile in the amqps:// URL names a file"),
        ("amqp://broker/?timeout=0", "the parameter timeout in the amqp:// URL"),
        ("amqp://broker/?heartbeat=hunter2", "the parameter heartbeat in the amqp:// URL"),
        ("amqp://h:1;h:2", "the port in the amqp:// URL is no number from 1 to 65535"),
        ("amqp://a,b:hunter2/v", "the port in the amqp:// URL"),
        ("amqp://a,hun ter2/v", "the host in the amqp:// URL"),
        ("amqp://user:hunter@a,user:hunter@b/v", "@ is written %40"),
        ("amqp://a..b", "the host"),
        ("nats://" + 64 * "a", "the host"),
        ("amqp://broker/" + 256 * "v", "the path of the amqp:// URL is longer than 255 bytes"),
        ("user:hunter2@broker", "not a broker URL; allowed: nats://host:port"),
        ("kafka://user:hunter2@broker", "not a broker URL"),
        ("nats:/user:hunter2@broker", "not a broker URL"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_shown(url: str, said: str) -> None:
    text = refusal(url)
    assert "  JOBRELAY_SOURCES: " in text
    assert said in text
    assert "hunt" not in text
    assert "user:" not in text
    with pytest.raises(InvalidURL):
        connect(url)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("nats://token%2F1@a", ("token/1", None, "a", "")),
        ("nats://user:@a", ("user", "", "a", "")),
        ("nats://user:a:b@a:1,b", ("user", "a:b", "a:1, b", "")),
        ("nats://a:1, b:2,", (None, None, "a:1, b:2", "")),
        ("NATS://@a/", (None, None, "a", "")),
        ("tls://[::1]:4222", (None, None, "[::1]:4222", "")),
        ("nats://a:", (None, None, "a", "")),
        ("amqp://u:p@h/a%40b", ("u", "p", "h", "a@b")),
        ("amqp://h/%2F?name=x&heartbeat=7", (None, None, "h", "/")),
        ("amqp://u:a+b$c@h//", ("u", "a+b$c", "h", "/")),
        ("amqp://u:p@h1:5672, h2,[::1]:5673/a,b", ("u", "p", "h1:5672, h2, [::1]:5673", "a,b")),
        ("amqps://u:p@h1,h2,/?heartbeat=5", ("u", "p", "h1, h2", "")),
    ],
)
def test_forms_that_are_clear_are_read(url: str, found: tuple[str | None, str | None, str, str]) -> None:
    (item,) = listed(url)
    parts = read(item)
    assert (parts.user, parts.password, parts.where, parts.path) == found


def test_sources_are_a_list_in_which_a_cluster_is_one_url() -> None:
    text = " nats://user:secret@a:4222,b:4222 ,, amqp://user:secret@c,d:1/v?heartbeat=5&password=secret&secret, "
    settings = Settings.from_env({"JOBRELAY_SOURCES": text})
    assert settings.sources == (
        "nats://user:secret@a:4222,b:4222",
        "amqp://user:secret@c,d:1/v?heartbeat=5&password=secret&secret",
    )
    assert settings.printable()["JOBRELAY_SOURCES"] == (
        "nats://***@a:4222,b:4222,amqp://***@c,d:1/v?heartbeat=5&password=***&***"
    )
    assert "user:secret" not in repr(settings)


@pytest.mark.parametrize("scheme", ["nats", "amqp"])
@given(rest=st.text(alphabet="ab1.-_:/?#@[]%,&=+ \\é\n") | st.text())
def test_any_text_is_refused_or_understood_by_the_client_library(scheme: str, rest: str) -> None:
    try:
        url = read(f"{scheme}://{rest}")
    except InvalidURL:
        return
    for host in url.hosts:
        # nats-py takes this name for a missing one.
        assume(host.name.lower() != "none")
        if scheme == "amqp":
            theirs = _for_library(url, Address(host=host, ip="", port=host.port or 5672, server_name=""), 5)
            assert (theirs.user or "", theirs.password or "") == (url.user or "", url.password or "")
            found = theirs.host, theirs.port
        else:
            parsed = SafeClient._parse_server_uri(f"{scheme}://{host}")
            found = parsed.hostname, parsed.port
        assert found == (host.bare.lower(), host.port or {"nats": 4222, "amqp": 5672}[scheme])


def test_text_that_quotes_urls_is_hidden_up_to_the_last_at() -> None:
    assert hidden("no 'nats://user:p@ ss/w@rd@host' here") == "no 'nats://***@host' here"
    assert hidden("nothing to hide") == "nothing to hide"
