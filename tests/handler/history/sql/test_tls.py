"""`sslmode`, as libpq reads it, against a server with TLS."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from handler.history.base import StoreRefused, StoreUnavailable
from handler.history.sql.store import open_store
from tests.postgres import PostgresServer, need_postgres


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[PostgresServer]:
    need_postgres()
    made = PostgresServer(settings={"ssl": "on", "ssl_cert_file": "../cert.pem", "ssl_key_file": "../key.pem"})
    try:
        made.prepare()
        cert = authority.issue_cert("localhost")
        cert.private_key_pem.write_to_path(made.directory / "key.pem")
        cert.cert_chain_pems[0].write_to_path(made.directory / "cert.pem")
        owner = made.directory.stat()
        os.chown(made.directory / "key.pem", owner.st_uid, owner.st_gid)
        os.chmod(made.directory / "key.pem", 0o600)
        (made.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def root(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize(
    ("host", "query", "fails"),
    [
        ("127.0.0.1", "", None),
        ("127.0.0.1", "?sslmode=require", None),
        ("127.0.0.1", "?sslmode=require&sslrootcert={other}", StoreUnavailable),
        ("127.0.0.1", "?sslmode=verify-ca&sslrootcert={root}", None),
        ("127.0.0.1", "?sslmode=verify-ca", StoreUnavailable),
        ("127.0.0.1", "?sslmode=verify-full&sslrootcert={root}", StoreUnavailable),
        ("localhost", "?sslmode=verify-full&sslrootcert={root}", None),
        ("localhost", "?sslmode=verify-full&sslrootcert=/nowhere/root.pem", StoreRefused),
        ("127.0.0.1", "?sslmode=disable", StoreRefused),
    ],
)
async def test_connects_only_as_sslmode_says(
    server: PostgresServer, root: Path, host: str, query: str, fails: type[Exception] | None, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    url = server.url.replace("127.0.0.1", host) + query.format(root=root, other=other)
    if fails is None:
        async with open_store(url, migrate=True) as store:
            assert await store.since(0) == []
        return
    with pytest.raises(fails) as caught:
        async with open_store(url, migrate=True):
            pass
    if fails is StoreUnavailable:
        assert isinstance(caught.value.__cause__, ssl.SSLError | OSError)
