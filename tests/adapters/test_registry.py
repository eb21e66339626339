"""Whatever names brokers outside the folders of adapters names each of the registry. A new adapter fails here."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.asyncapi import asyncapi
from adapters.descriptor import Adapter
from adapters.jetstream.options import JetStreamOptions
from adapters.lanes import HIGH, LOW, NORMAL
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.registry import ADAPTERS, BY_NAME, BY_SCHEME, adapter_of
from adapters.servers.local import SERVERS
from events.names import DEFAULT_INSTANCE
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from tests.k8s.deploy.manifests import OVERLAYS, rendered
from tests.paths import DEPLOY, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCUMENTS = "\n".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "adapters").rglob("*.md")))
IMPORTED = JetStreamOptions(api_prefix="main.js")

each = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: str(adapter.name))


def test_names_and_schemes_are_used_once() -> None:
    assert len(BY_NAME) == len(ADAPTERS)
    assert len(BY_SCHEME) == sum(len(adapter.schemes) for adapter in ADAPTERS)
    assert set(SERVERS) <= set(BY_NAME), "a server that we can start has an adapter"


def test_knowing_the_adapters_imports_no_client_library() -> None:
    code = "import sys, handler.settings.connections, adapters.asyncapi; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "adapters.registry" in done.stdout.split()
    # aiohttp imports yarl too.
    libraries = {library for adapter in ADAPTERS for library in adapter.libraries} - {"yarl"}
    assert not libraries & set(done.stdout.split())


@each
def test_settings_accept_the_urls_of_an_adapter_and_say_so(adapter: Adapter) -> None:
    for scheme in adapter.schemes:
        (url,) = Settings.from_env({"JOBRELAY_SOURCES": f"{scheme}://broker:{adapter.port}"}).sources
        assert adapter_of(url) is adapter
        assert f"`{scheme}://" in str(Settings.model_fields["sources"].description)


@each
def test_metrics_have_a_label_value_for_every_adapter(adapter: Adapter) -> None:
    labels = [values["broker"] for values in Metrics().bounds.values() if "broker" in values]
    assert len(labels) > 5
    assert all(adapter.name in values for values in labels)


@each
def test_an_extra_named_like_the_adapter_installs_its_client_library(adapter: Adapter) -> None:
    extra = PROJECT["project"]["optional-dependencies"][adapter.name]
    installed = {re.split(r"[^\w.-]", requirement)[0] for requirement in extra}
    assert installed & set(packages_distributions()[adapter.libraries[0]])
    (contract,) = (contract for contract in _contracts() if contract["name"].startswith("client libraries"))
    assert adapter.libraries[0] in contract["forbidden_modules"], "only its client module may import it"


def _contracts() -> list[dict[str, Any]]:
    contracts: list[dict[str, Any]] = PROJECT["tool"]["importlinter"]["contracts"]
    return contracts


@each
def test_every_adapter_can_be_deployed(adapter: Adapter) -> None:
    assert adapter.name in OVERLAYS
    assert rendered(f"overlays/{adapter.name}", f"components/keda/{adapter.name}")
    policy, _ = yaml.safe_load_all((DEPLOY / "components" / "network-policy" / "policy.yaml").read_text())
    assert adapter.port in {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


@each
def test_documents_say_what_an_adapter_stores_on_the_broker_and_which_permissions_it_needs(adapter: Adapter) -> None:
    for store in adapter.stores(DEFAULT_INSTANCE):
        # Queues of a row that differ in a number are drawn once.
        assert re.sub(r"\.\d+$", ".<n>", store) in DOCUMENTS
    users = (adapter.permissions, adapter.reading, adapter.operating)
    for patterns in (patterns for needed in users for patterns in needed(DEFAULT_INSTANCE).values()):
        assert patterns
        assert all(f"`{pattern}`" in DOCUMENTS for pattern in patterns)


@each
def test_the_contract_has_a_server_and_every_channel_for_every_adapter(adapter: Adapter) -> None:
    document = asyncapi(version="1")
    assert document["servers"][adapter.name]["protocol"] in adapter.schemes
    found = {name.removeprefix(adapter.name) for name in document["channels"] if name.startswith(adapter.name)}
    requests = {"RequestsHigh", "Requests", "RequestsLow"}
    assert found == requests | {"Control", "Lifecycle", "ControlAnswers", "Dead"}


def test_removal_lists_the_commands_that_delete_what_is_left() -> None:
    assert BY_NAME["nats"].removal("team-a") == (
        "nats stream rm TEAM-A_REQUESTS",
        "nats stream rm TEAM-A_CONTROL",
        "nats stream rm TEAM-A_LIFECYCLE",
        "nats stream rm TEAM-A_DEAD",
    )
    for options, where in ((JetStreamOptions(domain="hub"), "--js-domain hub"), (IMPORTED, "--js-api-prefix main.js")):
        assert BY_NAME["nats"].removal("team-a", options)[0] == f"nats {where} stream rm TEAM-A_REQUESTS"
    lines = BY_NAME["rabbitmq"].removal("team-a")
    assert lines[:2] == ("rabbitmqctl delete_queue team-a.dead", "rabbitmqctl delete_queue team-a.requests.high")
    assert lines[-1] == "and the exchanges team-a.*, which hold nothing"
    assert len(lines) == 13


def test_options_are_what_the_settings_say(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("nats_creds", "nats_nkey", "tls_ca", "tls_cert", "tls_key")}
    for file in files.values():
        file.touch()
    environ = {f"JOBRELAY_{name.upper()}": str(file) for name, file in files.items()}
    environ |= {
        "JOBRELAY_NATS_REPLICAS": "3",
        "JOBRELAY_NATS_MAX_BYTES": "2097152",
        "JOBRELAY_NATS_DOMAIN": "hub",
        "JOBRELAY_BROKER_TIMEOUT": "7",
        "JOBRELAY_LANE_WEIGHTS": "5,2,1",
    }
    settings = Settings.from_env(environ).model_dump()
    common: dict[str, Any] = {name: files[name] for name in ("tls_ca", "tls_cert", "tls_key")}
    common |= {"publish_timeout": 7, "lane_weights": {HIGH: 5, NORMAL: 2, LOW: 1}}
    assert BY_NAME["rabbitmq"].options(settings) == RabbitMQOptions(**common)
    assert BY_NAME["nats"].options(settings) == JetStreamOptions(
        **common,
        creds=files["nats_creds"],
        nkey=files["nats_nkey"],
        replicas=3,
        requests_max_bytes=2 << 20,
        domain="hub",
    )
