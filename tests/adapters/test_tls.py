"""Which certificates are trusted: on every Python the same, and the same by all that connect to a server."""

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.jetstream.client import SafeClient
from adapters.options import ConnectionOptions
from handler.history.sql.database import _tls
from k8s.api.config import Configuration, _tls_context


def certificate(name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """As `openssl x509 -req` makes one for an old cluster: without the extensions that name keys and their usage."""
    now = datetime.datetime.now(datetime.UTC)
    authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(authority, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=key is signer, path_length=None), critical=True)
    )
    if key is not signer:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return made.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "server", "stranger")}
    for name, key in keys.items():
        signer = keys["authority"] if name == "server" else key
        pem = certificate(name, key, signer).public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (made / f"{name}.pem").write_bytes(pem)
        (made / f"{name}.key").write_bytes(secret)
    return made


def of_a_broker(authority: Path) -> ssl.SSLContext:
    return ConnectionOptions(tls_ca=authority).tls_context()


def of_nats_that_asks_for_it(authority: Path) -> ssl.SSLContext:
    client = SafeClient()
    client.options = {"tls": ssl.create_default_context(cafile=authority)}
    return client.ssl_context


def of_postgresql(authority: Path) -> ssl.SSLContext:
    made = _tls({"sslmode": "verify-full", "sslrootcert": str(authority)})
    assert isinstance(made, ssl.SSLContext)
    return made


def of_kubernetes(authority: Path) -> ssl.SSLContext:
    configuration = Configuration()
    configuration.ssl_ca_cert = str(authority)
    return _tls_context(configuration)


CLIENTS = [of_a_broker, of_nats_that_asks_for_it, of_postgresql, of_kubernetes]


def shake(client: ssl.SSLContext, server: ssl.SSLContext, *, name: str) -> None:
    """A handshake in memory. Raises `ssl.SSLError`."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(back, there, server_hostname=name), server.wrap_bio(there, back, server_side=True)]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)


@pytest.fixture
def server(directory: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(directory / "server.pem", directory / "server.key")
    return made


@pytest.mark.parametrize("made_by", CLIENTS)
def test_authority_without_the_extensions_that_python_3_13_began_to_want_is_trusted(
    directory: Path, server: ssl.SSLContext, made_by: Callable[[Path], ssl.SSLContext]
) -> None:
    client = made_by(directory / "authority.pem")
    shake(client, server, name="server")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(client, server, name="another")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        shake(made_by(directory / "stranger.pem"), server, name="server")


@pytest.mark.parametrize("made_by", CLIENTS)
def test_what_is_trusted_need_not_be_at_the_top_of_its_chain(
    directory: Path, server: ssl.SSLContext, made_by: Callable[[Path], ssl.SSLContext]
) -> None:
    shake(made_by(directory / "server.pem"), server, name="server")
