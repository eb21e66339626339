"""URLs of brokers: what they may say, and what of them may be shown. The only place that takes such a URL apart.

A password that is not escaped can move every border of a URL, so that what is not clear is refused and never guessed.
No error quotes more of a URL than single characters. Whether a server answers is not known here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

_PLAIN = re.compile(r"[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2}")
_NEXT = re.compile(r",(?=\s*[A-Za-z][A-Za-z0-9+.-]*://)")
_SECRET = re.compile(r"(://).*@", re.DOTALL)
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_WORDS = {"%": "a % that begins no escape", ",": "a comma", " ": "a space"}
_PORTS = range(1, 65536)


class InvalidURL(ValueError):
    """A URL that cannot be used, or that can be read in two ways. The message shows no part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the URLs of one kind of broker may have after the user and the password."""

    several_hosts: bool = False
    longest_path: int = 0
    """In bytes."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Of the query, by name: a pattern of the values that can be read. All others are let through, and not shown."""
    files: frozenset[str] = frozenset()
    """Those of the parameters that name a file or a directory, which has to be there."""
    nul: bool = True
    """Whether users and passwords may hold the character with code 0."""


class Host(NamedTuple):
    """`name` of an IPv6 address is in brackets; `port` is None where the URL has none."""

    name: str
    port: int | None

    @property
    def bare(self) -> str:
        """The name, of an IPv6 address without its brackets."""
        return self.name.strip("[]")

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerURL:
    """A URL taken apart, escapes undone. `user` or `password` is None where the URL has none."""

    scheme: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    hosts: tuple[Host, ...]
    path: str
    """Without its first slash."""
    query: Mapping[str, str] = field(repr=False)

    @property
    def where(self) -> str:
        """The hosts, to be shown."""
        return ", ".join(str(host) for host in self.hosts)


def listed(text: str) -> list[str]:
    """The URLs of a comma-separated list. What begins with no scheme is a further host of the URL before it."""
    items = (item.strip().rstrip(",").strip() for item in _NEXT.split(text))
    return [item for item in items if item]


def hidden(text: str) -> str:
    """The text without users and passwords of URLs: each URL is masked up to its last `@`. Never raises."""
    return _SECRET.sub(r"\1***@", text)


def masked(url: str, rules: Rules) -> str:
    """A valid URL to be shown: user, password and the parameters that we do not know are masked."""
    start, mark, query = hidden(url).partition("?")
    return start + mark + "&".join(_masked_parameter(part, rules) for part in query.split("&") if mark)


def _masked_parameter(part: str, rules: Rules) -> str:
    name, equals, _ = part.partition("=")
    return part if name in rules.parameters else f"{name}=***" if equals else "***"


def parse(url: str, rules: Rules) -> BrokerURL:
    """Take apart a URL with a scheme. Raises `InvalidURL`."""
    scheme, _, rest = url.strip().partition("://")
    kind = f"the {scheme.lower()}:// URL"
    credentials, _, rest = rest.rpartition("@")
    _require_escaped(credentials, ":", f"in the user and password of {kind}", hint=bool(set(credentials) & set("/?#")))
    authority, path, query = _parts(rest, rules, kind)
    user, colon, password = credentials.partition(":")
    read = BrokerURL(
        scheme=scheme.lower(),
        user=_read(user, kind) if credentials else None,
        password=_read(password, kind) if colon else None,
        hosts=_hosts(authority, rules, kind),
        path=_read(path, kind),
        query=_parameters(query, rules, kind),
    )
    if len(read.path.encode()) > rules.longest_path:
        raise InvalidURL(f"the path of {kind} is longer than {rules.longest_path} bytes")
    if not rules.nul and "\0" in f"{read.user}{read.password}":
        raise InvalidURL(f"%00 in the user or password of {kind}: the broker takes none")
    return read


def _require_escaped(text: str, also: str, where: str, *, hint: bool = False) -> None:
    """`also`: characters that may stand for themselves there."""
    wrong = sorted(set(_PLAIN.sub("", text)) - set(also))
    if not wrong:
        return
    named = [f"{_named(character)} is written {_escape(character)}" for character in wrong if character.isascii()]
    foreign = next((character for character in wrong if not character.isascii()), None)
    if foreign is not None:
        named.append(f"{_named(foreign)} is written {_escape(foreign)}, and so on outside ASCII")
    more = "; an @ after the host is written %40 too" if hint else ""
    raise InvalidURL(f"{where}, {', '.join(named)}{more}")


def _named(character: str) -> str:
    if character in _WORDS:
        return _WORDS[character]
    return character if character.isprintable() else f"the character U+{ord(character):04X}"


def _escape(character: str) -> str:
    return quote(character, safe="", errors="surrogateescape")


def _parts(rest: str, rules: Rules, kind: str) -> tuple[str, str, str]:
    """Hosts, path and query of what follows the credentials."""
    authority, *others = re.split(r"(?=[/?#])", rest, maxsplit=1)
    tail = "".join(others)
    if not rules.longest_path:
        if tail not in ("", "/"):
            raise InvalidURL(f"{kind} ends after its hosts; {tail[0]} is written {_escape(tail[0])} in a password")
        return authority, "", ""
    path, _, query = tail.partition("?")
    _require_escaped(path, "/:,", f"in the path of {kind}")
    _require_escaped(query, "/:,?", f"in the parameters of {kind}")
    return authority, path.removeprefix("/"), query


def _hosts(authority: str, rules: Rules, kind: str) -> tuple[Host, ...]:
    found = [host.strip() for host in authority.split(",") if host.strip()]
    if not found:
        raise InvalidURL(f"{kind} names no host")
    if len(found) > 1 and not rules.several_hosts:
        raise InvalidURL(f"{kind} can name one host only; in a password, a comma is written %2C")
    return tuple(_host(text, kind) for text in found)


def _host(text: str, kind: str) -> Host:
    match = _HOST.fullmatch(text)
    name, port = (match[1], match[2] or "") if match else ("", "")
    if match is None or (port and not (_PORT.fullmatch(port) and int(port) in _PORTS)):
        raise InvalidURL(f"the port in {kind} is no number from 1 to 65535; an IPv6 address is written [::1]:port")
    if not (_NAME.fullmatch(name) or _is_address(name)):
        raise InvalidURL(f"the host in {kind} is no name and no address")
    return Host(name, int(port) if port else None)


def _is_address(name: str) -> bool:
    if not (name.startswith("[") and name.endswith("]")):
        return False
    try:
        IPv6Address(name[1:-1])
    except AddressValueError:
        return False
    return True


def _parameters(query: str, rules: Rules, kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, text = part.partition("=")
        value = found[_read(name, kind)] = _read(text, kind)
        if not re.fullmatch(rules.parameters.get(name, ".*"), value, re.DOTALL):
            raise InvalidURL(f"the parameter {name} in {kind} has a value that cannot be used")
        if name in rules.files and not Path(value).exists():
            raise InvalidURL(f"the parameter {name} in {kind} names a file that does not exist")
    return found


def _read(text: str, kind: str) -> str:
    """Escapes undone. A plus sign is a plus sign."""
    found = unquote_to_bytes(text).decode(errors="surrogateescape")
    if any("\ud800" <= character <= "\udfff" for character in found):
        raise InvalidURL(f"the escapes in {kind} are not UTF-8")
    return found
