"""Where the API server is and who we are there: kubeconfig or service account. Makes no requests."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from k8s.base import ConfigError
from k8s.library import module

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REFRESH_SECONDS = 60.0
REFRESH_RETRY_SECONDS = 10.0
PLUGIN_SECONDS = 30.0
_CONFIG = "kubernetes_asyncio.config"


class Configuration:
    """What the library's loaders find out. They fill it in as they do their own `Configuration`, and only these fields.

    `api_key`: the Authorization header as `BearerToken`, whatever its scheme.
    """

    def __init__(self) -> None:
        self.host = "http://localhost"
        self.api_key: dict[str, str] = {}
        self.ssl_ca_cert: str | None = None
        self.cert_file: str | None = None
        self.key_file: str | None = None
        self.verify_ssl = True
        self.tls_server_name: str | None = None
        self.proxy: str | None = None


class Access:
    """One API server, and our credentials for it.

    `base_url` has no trailing slash. `tls` is None for plain HTTP, `server_name` and `proxy` unless configured.
    """

    def __init__(
        self, configuration: Configuration, reload: Callable[[bool], Awaitable[None]], *, namespace: str
    ) -> None:
        self.base_url: str = configuration.host.rstrip("/")
        self.namespace = namespace
        self.server_name: str | None = configuration.tls_server_name or None
        self.proxy: str | None = configuration.proxy or _environment_proxy(self.base_url)
        if self.proxy and urlsplit(self.proxy).scheme not in {"http", "https"}:
            raise ConfigError(f"the proxy {urlsplit(self.proxy).scheme}:// is not supported, only http and https are")
        self._configuration = configuration
        self._token = self._authorization = ""
        self._reload = reload
        self._wanted = asyncio.Event()
        self._refreshed = asyncio.Event()
        self.tls = _tls_context(configuration) if self.base_url.startswith("https:") else None

    @property
    def authorization(self) -> str:
        """The current Authorization header, empty if there is none."""
        token = self._configuration.api_key.get("BearerToken", "")
        if token != self._token:
            self._token, self._authorization = token, " ".join(token.split())
        return self._authorization

    async def refresh(self) -> None:
        """The server did not accept the credentials: have them read again now, and wait for that."""
        done = self._refreshed
        self._wanted.set()
        await done.wait()

    async def keep_fresh(self) -> None:
        """Read token files, exec plugins and certificates again and again, until cancelled. Failures are logged.

        Runs as a task of its own: a slow plugin must delay no request, and no request's timeout may end a plugin.
        """
        wait = REFRESH_SECONDS
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), wait)
            forced = self._wanted.is_set()
            self._wanted.clear()
            done, self._refreshed = self._refreshed, asyncio.Event()
            wait = REFRESH_SECONDS if await self._reloaded(forced) else REFRESH_RETRY_SECONDS
            done.set()

    async def _reloaded(self, forced: bool) -> bool:
        try:
            async with asyncio.timeout(PLUGIN_SECONDS):
                await self._reload(forced)
            if self.tls is not None:
                _load_client_certificate(self.tls, self._configuration)
        except Exception as error:  # noqa: BLE001 - plugins raise anything; the old credentials may still work
            logger.warning("credentials could not be refreshed, going on with the old ones: %s", _one_line(error))
            return False
        return True


async def load(
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    environ: Mapping[str, str],
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """The explicit kubeconfig or context, else `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.

    Raises `ConfigError` with a readable sentence.
    """
    files = str(kubeconfig) if kubeconfig else environ.get("KUBECONFIG", "")
    if not files and context is None and environ.get("KUBERNETES_SERVICE_HOST"):
        return await _load_service_account(service_account, environ)
    return await _load_kubeconfig(files or "~/.kube/config", context)


async def _load_kubeconfig(files: str, context: str | None) -> Access:
    if not _exists(files):
        raise ConfigError(f"no kubeconfig: {files} does not exist")
    config, configuration = module(_CONFIG), Configuration()
    loader: Any = None

    async def reload(force: bool) -> None:
        nonlocal loader
        if force or loader is None:
            # A new loader reads the files again, and runs an exec plugin even if its last answer has not expired.
            loader = await config.load_kube_config(files, context=context, client_configuration=configuration)
        else:
            await loader.load_and_set(configuration)

    try:
        async with asyncio.timeout(PLUGIN_SECONDS):
            await reload(True)
        chosen = loader.current_context["context"]
        return Access(configuration, reload, namespace=chosen.get("namespace") or "default")
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"kubeconfig {files}: {_one_line(error)}") from error


async def _load_service_account(directory: Path, environ: Mapping[str, str]) -> Access:
    config, configuration = module(_CONFIG), Configuration()

    async def reload(_: bool) -> None:
        config.load_incluster_config(
            client_configuration=configuration,
            try_refresh_token=False,  # `keep_fresh` does, and goes on after a failure
            token_filename=str(directory / "token"),
            cert_filename=str(directory / "ca.crt"),
            environ=environ,
        )

    try:
        await reload(True)
        file = directory / "namespace"
        namespace = file.read_text().strip() if file.is_file() else ""
        return Access(configuration, reload, namespace=namespace or "default")
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"service account in {directory}: {_one_line(error)}") from error


def _exists(files: str) -> bool:
    return any(Path(file).expanduser().is_file() for file in files.split(os.pathsep) if file)


def _tls_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 began to require extensions that many clusters' authorities lack, and to trust an authority below
    # another one if it alone is given. kubectl never did the one, and always the other.
    context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_client_certificate(context, configuration)
    return context


def _load_client_certificate(context: ssl.SSLContext, configuration: Configuration) -> None:
    """The context may be in use: connections that open from now on show the new certificate."""
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)


def _environment_proxy(base_url: str) -> str | None:
    """From `HTTPS_PROXY` and `NO_PROXY`. Never for this machine itself, which is how kubectl does it."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host == "localhost" or _is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _one_line(error: Exception) -> str:
    # Only where something is wrong: it imports pydantic, which takes longer than all the rest of this module.
    from events.problems import brief

    return brief(" ".join(str(error).split()) or repr(error))
