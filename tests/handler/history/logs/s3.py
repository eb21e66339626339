"""An S3 server of our own, with one bucket."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from adapters.servers.free_port import free_port
from tests.patience import PATIENCE

BUCKET = "logs"


def need_obstore() -> None:
    missing = [name for name in ("obstore", "moto", "flask_cors") if find_spec(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@contextmanager
def serving(log: Path) -> Iterator[str]:
    """Its URL. The server's output goes to `log`."""
    need_obstore()
    url = f"http://127.0.0.1:{(port := free_port())}"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _make_bucket(url, time.monotonic() + PATIENCE)
            yield url
        finally:
            server.kill()
            server.wait()


def _make_bucket(url: str, deadline: float) -> None:
    asked = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
    while True:
        try:
            urllib.request.urlopen(asked, timeout=PATIENCE).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def variables(url: str) -> dict[str, str]:
    """What a process needs to use it."""
    given = {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}
    return {f"AWS_{name}": value for name, value in given.items()}
