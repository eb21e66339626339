"""The packages of the Node.js client and AsyncAPI's own schemas, installed once by npm from their lock file."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import EXAMPLES, ROOT

PACKAGE = EXAMPLES / "clients" / "node"
CACHE = ROOT / ".jobrelay" / "node"


def node_modules() -> Path:
    """Skips where there is no npm, or where it cannot install."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = (PACKAGE / "package-lock.json").read_bytes()
    # Test processes run side by side.
    with (CACHE / "lock").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        installed = CACHE / "installed.json"
        if not installed.exists() or installed.read_bytes() != lock:
            _install(npm)
            installed.write_bytes(lock)
    return CACHE / "node_modules"


def _install(npm: str) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, CACHE / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    try:
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm ci does not end: no package registry?")
    if done.returncode:
        pytest.skip(f"npm ci failed: {done.stderr.strip()[-200:]}")
