"""What bash, zsh and fish make of ids, at a terminal."""

import asyncio
import shutil
from pathlib import Path

import pytest

from k8s.api.cluster import Cluster
from k8s.devcluster.server import DevCluster
from tests.handler.cli.completing.objects import create_request, create_schedule
from tests.handler.cli.completing.terminals import SHELLS, terminal

RUN = "nightly@2026-11-30T02:00:00Z"
URN = "urn:uuid:6e8bc430"
HOSTILE = (
    "evil;touch pwned",
    "evil$(touch pwned)",
    "evil`touch pwned`",
    "evil 'quoted' \"twice\"",
    "evil*",
    "evil\x1b]0;owned\x07",
    "evil|&<>",
    "evil,comma",
    "évil\u202e",
)


def look(shell: str, directory: Path, cluster: DevCluster) -> dict[str, list[str]]:
    """What becomes of each line at Tab."""
    with terminal(shell, directory, {"KUBECONFIG": str(cluster.kubeconfig)}) as shown:
        return {line: shown.words(line) for line in LINES}


LINES = {
    "get inv": ["get", "invoice-4711"],
    "get urn:": ["get", URN],
    "get urn:uuid:6": ["get", URN],
    "get nightly@": ["get", RUN],
    "get nightly@20": ["get", RUN],
    "get nightly@2026-11-30T02:0": ["get", RUN],
    "trigger ": ["trigger", "weekly"],
    "get --source=/te": ["get", "--source=/tests"],
    "get --source /te": ["get", "--source", "/tests"],
    "get --source https://e": ["get", "--source", "https://example.com/orders"],
    "get --source=https://example.com/o": ["get", "--source=https://example.com/orders"],
    "get évé": ["get", "événement-1"],
    "get evil": ["get", "evil"],
    "get --inst": ["get", "--instance"],
    "cancel don": ["cancel", "don"],
    "get don": ["get", "done-1"],
    "get --instance other el": ["get", "--instance", "other", "elsewhere-1"],
    "get --instance=other el": ["get", "--instance=other", "elsewhere-1"],
}


@pytest.mark.parametrize("shell", SHELLS)
async def test_ids_are_completed(shell: str, devcluster: DevCluster, cluster: Cluster, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its completion is not tested")
    for request_id in ("invoice-4711", URN, RUN, "événement-1", "-leading", *HOSTILE):
        await create_request(cluster, request_id)
    await create_request(cluster, "done-1", source="https://example.com/orders", ended=True)
    await create_request(cluster, "elsewhere-1", instance="other")
    await create_schedule(cluster, "weekly")
    found = await asyncio.to_thread(look, shell, tmp_path, devcluster)
    assert found == LINES
    assert not (tmp_path / "pwned").exists()
