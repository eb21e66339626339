"""Which values are offered: of the installation that the line, the environment, or `jobrelay dev` means."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from events.names import Annotation
from events.phases import Phase
from handler.commands.completing.asked import Asked
from handler.commands.completing.cluster import from_cluster
from handler.commands.completing.offers import MOST, Offer, chosen, dated
from handler.commands.environment import DEV_DIRECTORY, Local, Options
from handler.history.base import PodRun
from handler.operations.jobs import pods_in
from handler.settings import connections
from handler.settings.reach import Reach, selector_of
from handler.settings.settings import InvalidSettings, Settings
from k8s.api.cluster import Cluster
from k8s.api.glance import PAGE, Glance
from k8s.base import ConfigError
from k8s.devcluster.server import DevCluster
from tests.handler.cli.completing.asking import ask_here
from tests.handler.cli.completing.objects import create_request, create_schedule
from tests.handler.commandline import make_environ
from tests.handler.commands.history.records import fill, key_of, life, log_of
from tests.handler.history.stores import POSTGRESQL, SQLITE, url_of
from tests.handler.samples import until

Ask = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def asked(devcluster: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Returns the values that are offered for the last word of a line."""
    monkeypatch.chdir(tmp_path)

    async def ask_beside(line: str, **environ: str) -> list[str]:
        found = await asyncio.to_thread(ask_here, line, {"KUBECONFIG": str(devcluster.kubeconfig)} | environ)
        return [value for value, _ in found]

    return ask_beside


async def test_each_parameter_has_values_of_its_own(cluster: Cluster, asked: Ask) -> None:
    await create_request(cluster, "one", source="/a", service="billing")
    await create_request(cluster, "one", source="/b", service="billing")
    await create_request(cluster, "two", source="/c", service="shop", ended=True)
    await create_schedule(cluster, "nightly")
    expected = {
        "get ": {"one", "two", "nightly"},
        "watch ": {"one", "two", "nightly"},
        "logs ": {"one", "two"},
        "cancel ": {"one", "nightly"},
        "suspend n": {"nightly"},
        "resume o": {"one"},
        "trigger ": {"nightly"},
        "get one --source ": {"/a", "/b"},
        "get --source ": {"/a", "/b", "/c", "/tests"},
        "get --source /c ": {"two"},
        "watch --service ": {"billing", "shop", "tests"},
        "submit --service b": {"billing"},
        "history show ": {"one", "two", "nightly"},
        "get -n ": {"default", "kube-system"},
        "get --context ": {"devcluster"},
        "history list --phase fa": {"failed"},
        "get one ": set(),
        "dead replay ": set(),
    }
    found = {line: set(await asked(f"jobrelay {line}")) for line in expected}
    assert found == expected
    jobs = await asked("jobrelay cancel one --job ")
    assert len(jobs) == 2
    assert all(job.startswith("default/billing-") for job in jobs)


async def test_containers_are_those_of_the_request(cluster: Cluster, asked: Ask) -> None:
    await create_request(cluster, "runs", suspend=False)
    await create_request(cluster, "waits")

    async def look() -> bool:
        return bool(await pods_in(cluster, "default", "app.kubernetes.io/managed-by=jobrelay"))

    await until(look)
    assert await asked("jobrelay logs runs -c ") == ["main"]
    assert await asked("jobrelay logs runs --container=m") == ["main"]
    assert await asked("jobrelay logs waits -c ") == []


async def test_the_line_comes_before_the_environment(cluster: Cluster, asked: Ask, tmp_path: Path) -> None:
    for instance in ("jobrelay", "typed", "set"):
        await create_request(cluster, f"of-{instance}", instance=instance)
    await create_request(cluster, "of-system", namespace="kube-system")
    kubeconfig = tmp_path / "cluster" / "kubeconfig"
    assert await asked("jobrelay get of-", JOBRELAY_INSTANCE="set") == ["of-set"]
    assert await asked("jobrelay get --instance typed of-", JOBRELAY_INSTANCE="set") == ["of-typed"]
    assert await asked("jobrelay get -n kube-system of-") == ["of-system"]
    assert await asked("jobrelay get of-", JOBRELAY_NAMESPACES="kube-system") == ["of-system"]
    both = await asked("jobrelay get of-", JOBRELAY_NAMESPACES="default,kube-system")
    assert set(both) == {"of-jobrelay", "of-system"}
    elsewhere = {"KUBECONFIG": "/nowhere", "CLUSTER": str(kubeconfig), "HOME": str(tmp_path)}
    for file in (str(kubeconfig), "$CLUSTER", "~/cluster/kubeconfig"):
        assert await asked(f"jobrelay get --kubeconfig {file} of-", **elsewhere) == ["of-jobrelay"]
    assert await asked("jobrelay get --context devcluster of-") == ["of-jobrelay"]
    with pytest.raises(ConfigError, match="other"):
        await asked("jobrelay get --context other of-")


async def test_what_runs_in_this_directory_is_meant_unless_the_line_names_another(
    cluster: Cluster, asked: Ask, tmp_path: Path, devcluster: DevCluster
) -> None:
    await create_request(cluster, "of-dev", instance="dev")
    local = Local(
        source="nats://127.0.0.1:1",
        kubeconfig=str(devcluster.kubeconfig),
        instance="dev",
        http="http://127.0.0.1:1",
        pid=os.getpid(),
    )
    (tmp_path / DEV_DIRECTORY).mkdir(parents=True)
    local.save(tmp_path / DEV_DIRECTORY)
    assert await asked("jobrelay get ") == ["of-dev"]
    for line in ("--instance jobrelay", "--broker nats://127.0.0.1:2", "--context devcluster"):
        assert await asked(f"jobrelay get {line} ") == []


async def test_a_list_is_read_page_by_page() -> None:
    pages = {"": (["a", "b"], "2"), "2": (["c"], "")}
    targets: list[str] = []

    async def get(target: str, _: str) -> bytes:
        targets.append(target)
        names, after = pages[dict(parse_qsl(urlsplit(target).query)).get("continue", "")]
        items = [{"metadata": {"name": name, "annotations": {Annotation.ID: name, "else": "x"}}} for name in names]
        return orjson.dumps({"kind": "List", "metadata": {"continue": after}, "items": items})

    glance = Glance(get, default_namespace="default")
    found = [one.annotations.id async for page in glance.jobs("n 1", "a=b") for one in page]
    assert found == ["a", "b", "c"]
    first = f"/apis/batch/v1/namespaces/n%201/jobs?labelSelector=a%3Db&limit={PAGE}"
    assert targets == [first, f"{first}&continue=2"]


@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
async def test_a_history_tells_what_it_has(kind: str, tmp_path: Path) -> None:
    entries = [*life("kept-1", service="billing"), *life("kept-2", Phase.FAILED, at=60, service="shop")]
    pod = PodRun(uid="p-1", name="kept-x", namespace="default")
    expected = {
        "history show ": ["kept-2", "kept-1"],
        "history logs kept-1": ["kept-1"],
        "history list kept-": ["kept-2", "kept-1"],
        "history show kept-1 --source ": ["/shop"],
        "history stats --service ": ["shop", "billing"],
        "history logs kept-1 -c ": ["main"],
        "history logs kept-2 -c ": [],
        "history show nothing": [],
    }
    async with url_of(kind) as url:
        assert url is not None
        await fill(url, entries, pods=[(key_of("kept-1"), pod)], logs=[log_of("p-1", b"said\n")])
        found = {}
        for line in expected:
            environ = {"HOME": str(tmp_path), "JOBRELAY_HISTORY": url}
            found[line] = [value for value, _ in await asyncio.to_thread(ask_here, f"jobrelay {line}", environ)]
    assert found == expected


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"JOBRELAY_INSTANCE": "team-a", "JOBRELAY_NAMESPACES": " a, b,,c ", "JOBRELAY_KUBE_CONTEXT": "here"},
        {"JOBRELAY_INSTANCE": "", "JOBRELAY_NAMESPACES": "", "JOBRELAY_KUBECONFIG": "", "JOBRELAY_HISTORY": ""},
        {"JOBRELAY_KUBECONFIG": __file__, "JOBRELAY_HISTORY": "sqlite:///a/b.db"},
        {"JOBRELAY_INSTANCE": "a" * 31},
        {"JOBRELAY_INSTANCE": "a\n"},
        {"JOBRELAY_KUBECONFIG": "/nowhere"},
        {"JOBRELAY_KUBECONFIG": "/"},
    ],
)
def test_settings_mean_what_they_mean_to_the_commands(environ: dict[str, str]) -> None:
    try:
        settings: Any = Settings.from_env(environ)
    except InvalidSettings:
        with pytest.raises(ValueError, match="JOBRELAY_"):
            Reach.from_env(environ)
        return
    reach = Reach.from_env(environ)
    assert asdict(reach) == {field.name: getattr(settings, field.name) for field in fields(Reach)}
    assert selector_of(reach.instance) == connections.selector_of(settings)


def test_the_last_ones_come_first_and_each_once() -> None:
    offers = [Offer(value=value, help=str(time), time=time) for value, time in (("a", 1), ("b", 3), ("a", 2))]
    assert [(offer.value, offer.help) for offer in chosen(offers)] == [("b", "3"), ("a", "2")]


def test_of_too_many_what_they_share_stays_what_all_of_them_share() -> None:
    offers = [Offer(value=f"invoice-{number}", time=number) for number in range(1, 2 * MOST)]
    left = chosen([*offers, Offer(value="import", time=0)])
    assert len(left) == MOST
    assert [offer.value for offer in left if not offer.value.startswith("invoice-")] == ["import"]
    assert chosen(offers) == sorted(offers, key=attrgetter("time"), reverse=True)[:MOST]


async def test_what_is_known_when_the_time_is_over_is_offered() -> None:
    async def get(target: str, _: str) -> bytes:
        if "continue" in target or "cronjobs" in target:
            await asyncio.Event().wait()
        item = {"metadata": {"name": "x", "annotations": {Annotation.ID: "known", Annotation.SOURCE: "/a"}}}
        return orjson.dumps({"metadata": {"continue": "more"}, "items": [item]})

    asked = Asked(what="requests", beginning="", options=Options())
    found: list[Offer] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await from_cluster(Glance(get, default_namespace="default"), Reach.from_env({}), asked, found)
    assert [offer.value for offer in found] == ["known"]


def test_what_is_said_of_a_value_is_plain() -> None:
    said = dated("x", about="bil\x1b[31mling,\tsh\u202eop:\n", time_=time.time() - 90).help
    assert said == "bil 31mling sh op 1m30s"


_FINDING = """
import sqlite3
import sys
from click.shell_completion import ShellComplete
from handler.cli.main import cli
from k8s.library import stand_in
stand_in("kubernetes_asyncio.config.openid", OpenIDRequestor=None)
try:
    print(ShellComplete(cli, {}, "jobrelay", "X").get_completions(sys.argv[1:], ""))
except (OSError, sqlite3.Error) as error:
    print(error)
print([*sys.modules])
"""


@pytest.mark.parametrize("line", [["get"], ["history", "show"]])
def test_finding_values_imports_no_client_and_no_model(line: list[str], tmp_path: Path) -> None:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=f"sqlite://{tmp_path}/history.db", PATH=os.environ["PATH"])
    done = subprocess.run(
        [sys.executable, "-c", _FINDING, *line], env=environ, capture_output=True, text=True, check=False
    )
    modules = set(eval(done.stdout.splitlines()[-1])) if done.stdout else set()
    assert ("k8s.api.glance" if line == ["get"] else "handler.history.sql.glance") in modules, done.stderr
    assert not {"aiohttp", "nats", "aio_pika", "pydantic", "sqlalchemy", "asyncpg", "adapters.base", "rich"} & modules
