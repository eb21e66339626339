"""The cluster's certificate authority, tokens and kubeconfig, which it keeps in its directory."""

import hmac
import secrets
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

ADMIN = "system:admin"
ANONYMOUS = "system:anonymous"
CLUSTER = "devcluster"


@dataclass(frozen=True, slots=True)
class Identity:
    """Made once for a directory, so that a kubeconfig stays valid over restarts."""

    token: str
    authority: bytes
    context: ssl.SSLContext


def identity(directory: Path, *, host: str) -> Identity:
    """Load or make the authority and the token of `directory`. The server's own certificate is new each time."""
    import trustme  # Of the extra [local]: where that is missing, __main__ says so.

    key, certificate, token = directory / "ca.key", directory / "ca.crt", directory / "token"
    if not (key.exists() and certificate.exists() and token.exists()):
        made = trustme.CA(organization_name="jobrelay development cluster")
        write_private(key, made.private_key_pem.bytes())
        write_private(certificate, made.cert_pem.bytes())
        write_private(token, secrets.token_urlsafe(32).encode())
    authority = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys((host, "127.0.0.1", "::1", "localhost"))).configure_cert(context)
    return Identity(token.read_text().strip(), certificate.read_bytes(), context)


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, so that only its owner can read it."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)


def write_kubeconfig(path: Path, *, url: str, who: Identity) -> None:
    """Write a kubeconfig that contains everything. Mode 0600: its token may do anything."""
    cluster = {"server": url, "certificate-authority-data": b64encode(who.authority).decode()}
    context = {"cluster": CLUSTER, "user": CLUSTER, "namespace": "default"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": cluster}],
        "users": [{"name": CLUSTER, "user": {"token": who.token}}],
        "contexts": [{"name": CLUSTER, "context": context}],
        "current-context": CLUSTER,
    }
    write_private(path, yaml.safe_dump(document, sort_keys=False).encode())


class Users:
    """Bearer tokens: the administrator's, and those of users who may do nothing, for tests of 403."""

    def __init__(self, token: str, restricted: Mapping[str, str]) -> None:
        self._admin = token.encode()
        self._restricted = dict(restricted)

    def name(self, authorization: str | None) -> str | None:
        """The user of an Authorization header; None if it is not valid."""
        if authorization is None:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        if hmac.compare_digest(token.strip().encode(), self._admin):
            return ADMIN
        return self._restricted.get(token.strip())
