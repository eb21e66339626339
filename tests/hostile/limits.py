"""How much memory a process of ours may have: what our manifests say of it, and how a test holds it to that."""

import re
import resource
from pathlib import Path

import yaml

from tests.e2e.site import Relay
from tests.paths import ROOT


def limit_mib(role: str) -> int:
    """What our manifests give a process of this role, in MiB."""
    manifests = yaml.safe_load_all((ROOT / "k8s" / "deploy" / "base" / f"{role}.yaml").read_text())
    deployment = next(manifest for manifest in manifests if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return int(container["resources"]["limits"]["memory"].removesuffix("Mi"))


def enforce(relay: Relay, role: str) -> None:
    """From now on the process gets no more memory than its manifest allows.

    The limit that Linux enforces here is one of address space, which counts what is mapped and never touched, too:
    libraries, stacks, arenas. So it is what is mapped now, and as much more as the manifest leaves above what is
    resident now.
    """
    room = (limit_mib(role) << 20) - _status(relay, "VmRSS")
    most = _status(relay, "VmSize") + room
    resource.prlimit(relay.process.pid, resource.RLIMIT_AS, (most, most))


def _status(relay: Relay, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{relay.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10
