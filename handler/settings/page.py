"""The settings of the page: where it is served, to whom, and below which path.

Only the role `console` uses them; the others take them as well, so that one ConfigMap serves all. What its files hold
is not known here.
"""

import ipaddress
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from handler.settings.policy import Names

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):(\d{1,5})")
_BASE = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def is_loopback(host: str) -> bool:
    """Whether this is a name or an address of the machine itself, without a port. IPv6 may stand in brackets."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return False
    # Before Python 3.13 `is_loopback` did not look at IPv4 written as IPv6.
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


class PageSettings(BaseModel):
    """Fields of `Settings`: the page of the role `console`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ui_address: str | None = Field(
        "127.0.0.1:8081",
        description="`host:port` where the page is served; port 0 picks a free one. Given but empty: there is no page.",
    )
    ui_auth: Literal["none", "token", "proxy"] = Field(
        "none",
        description="Who may see the page, and who may act on it. `none`: whoever reaches it does both, so only "
        "addresses of this machine can be named. `token`: who knows the token of `JOBRELAY_UI_TOKEN_FILE`. `proxy`: "
        "whom a proxy such as oauth2-proxy names in `X-Forwarded-User` and `X-Forwarded-Groups`.",
    )
    ui_token_file: Path | None = Field(
        None,
        description="File with the token of those who may act: 20 characters or more. Needed with `token`. It is read "
        "again when it changes, and sessions with the former token end.",
    )
    ui_view_token_file: Path | None = Field(
        None, description="File with the token of those who may only look. Empty: there is no such token."
    )
    ui_trusted_proxies: Names = Field(
        (),
        description="Addresses and networks (CIDR) of proxies whose headers `X-Forwarded-*` are believed. Needed with "
        "`proxy`, where requests from elsewhere are refused.",
    )
    ui_operators: Names = Field(
        (),
        description="Who may act, with `proxy`: shell patterns for groups, and for users where they begin with "
        "`user:`. Empty: nobody.",
    )
    ui_viewers: Names = Field(
        (),
        description="Who may look without acting, with `proxy`: patterns as above. Empty: nobody but those who may "
        "act. `user:*`: everybody whom the proxy lets in.",
    )
    ui_read_only: Literal["on", "off"] = Field(
        "off", description="`on`: nobody can act, whoever they are, and nothing is ever published by the page."
    )
    ui_base_path: str = Field(
        "",
        description="Path below which everything is served, such as `/jobs`, where a proxy does not take it away.",
    )
    ui_secret_file: Path | None = Field(
        None,
        description="File with the key of sessions and forms: 32 bytes or more. Needed where more than one process "
        "serves the page. Empty: a random key for each process, so that people log in again after its end.",
    )
    ui_streams: int = Field(
        200, ge=1, le=2000, description="Streams of lists, requests and logs at the same time, in a process."
    )
    ui_streams_per_address: int = Field(
        50, ge=1, le=2000, description="Of them, those of one address. This machine's own are not counted."
    )
    ui_connections: int = Field(
        512,
        ge=2,
        le=10_000,
        description="Connections at the same time, in a process: more than streams, as browsers keep theirs for what "
        "they ask next. Of more, the one that is idle for longest ends.",
    )
    ui_session_hours: int = Field(
        12, ge=1, le=168, description="Hours after which a session ends, however it was used."
    )
    ui_login_tries: int = Field(
        5, ge=1, le=1000, description="Wrong tokens in a minute from one address, after which it has to wait."
    )

    @property
    def ui_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Those of `ui_trusted_proxies`."""
        return tuple(ipaddress.ip_network(text) for text in self.ui_trusted_proxies)

    @field_validator("ui_address")
    @classmethod
    def _address(cls, text: str | None) -> str | None:
        if not text:
            return None
        found = _ADDRESS.fullmatch(text)
        if not found or int(found[2]) > 65535:
            raise ValueError("host:port expected, such as 127.0.0.1:8081 or [::1]:8081")
        return text

    @field_validator("ui_trusted_proxies")
    @classmethod
    def _networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise ValueError(
                    f"an address or a network such as 10.0.0.0/8 expected, without bits after its prefix: {text}"
                ) from None
        return texts

    @field_validator("ui_base_path")
    @classmethod
    def _path(cls, text: str) -> str:
        text = text.rstrip("/")
        if text and (not _BASE.fullmatch(text) or {".", ".."} & set(text.split("/"))):
            raise ValueError("a path such as /jobs expected, of letters, digits and . _ ~ -")
        return text

    @model_validator(mode="after")
    def _page_can_be_served(self) -> Self:
        # Other roles have neither the files nor the address.
        if getattr(self, "role", "console") == "console" and self.ui_address is not None:
            problems = [*self._missing_people(), *self._missing_files(), *self._missing_room()]
            if problems:
                raise ValueError("; ".join(problems))
        return self

    def _missing_people(self) -> list[str]:
        host = (self.ui_address or "").rpartition(":")[0]
        if self.ui_auth == "none" and not is_loopback(host):
            return [
                "JOBRELAY_UI_AUTH=none needs a loopback address in JOBRELAY_UI_ADDRESS: whoever reaches another could "
                "act; choose token or proxy"
            ]
        if self.ui_auth == "token" and self.ui_token_file is None and self.ui_view_token_file is None:
            return ["JOBRELAY_UI_AUTH=token needs JOBRELAY_UI_TOKEN_FILE or JOBRELAY_UI_VIEW_TOKEN_FILE"]
        if self.ui_auth != "proxy":
            return []
        problems = []
        if not self.ui_trusted_proxies:
            problems.append("JOBRELAY_UI_AUTH=proxy needs JOBRELAY_UI_TRUSTED_PROXIES: whose headers are believed")
        if not self.ui_operators and not self.ui_viewers:
            problems.append(
                "JOBRELAY_UI_AUTH=proxy needs JOBRELAY_UI_OPERATORS or JOBRELAY_UI_VIEWERS: who may do what"
            )
        return problems

    def _missing_files(self) -> list[str]:
        return [
            f"JOBRELAY_{name.upper()}: no such file: {path}"
            for name in ("ui_token_file", "ui_view_token_file", "ui_secret_file")
            if (path := getattr(self, name)) is not None and not path.is_file()
        ]

    def _missing_room(self) -> list[str]:
        if self.ui_connections > self.ui_streams:
            return []
        return [
            f"JOBRELAY_UI_CONNECTIONS={self.ui_connections} needs to be more than "
            f"JOBRELAY_UI_STREAMS={self.ui_streams}: each stream is a connection"
        ]
