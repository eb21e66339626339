"""`jobrelay check`: the settings and functions in force and, with `--connect`, whether broker and cluster answer."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click
import orjson

from adapters.base import Broker, BrokerError, BrokerUnavailable
from adapters.connect import missing
from adapters.registry import adapter_of
from events.cloudevent.event import build
from events.functions.file import InvalidFunctions
from events.functions.functions import Call, Function
from events.identity import Identity
from events.request.queue import Queueable
from handler.commands.connection import broker_of
from handler.commands.errors import FAILED, OK, Failed, Misuse
from handler.commands.showing.output import write
from handler.commands.showing.tables import console, table
from handler.console.security.files import FileRefused
from handler.console.security.security import Security
from handler.history import extra
from handler.history.base import HistoryError
from handler.intake.functions import read, unused
from handler.operations.wording import clean
from handler.settings.connections import cluster_of, namespaces_of, options_of, program_of, selector_of
from handler.settings.settings import Settings
from handler.telemetry.copies import away, short
from handler.telemetry.otlp import require
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError, NotFound
from k8s.manifests.function import render_call


async def check(settings: Settings, *, connect: bool, form: str) -> int:
    """Print the settings and the functions; with `connect`, first try brokers and cluster, and return 1 if any fails.

    Raises `Misuse` if a library is missing, or the file of functions, a token or a key is invalid.
    """
    try:
        _require(settings)
        functions = read(settings.functions, settings.namespaces) if settings.functions else None
    except (RuntimeError, InvalidFunctions, FileRefused) as error:
        raise Misuse(str(error)) from error
    failed = await _connect(settings, functions or ()) if connect else 0
    if form == "table":
        table(("SETTING", "VALUE"), list(settings.printable().items()), wide="VALUE")
    else:
        write(form, settings.printable())
    if functions is not None:
        _print_functions(functions, form)
        for line in unused(functions):
            click.echo(clean(line), err=True)
    if failed and console().is_terminal:
        # They have scrolled away.
        click.echo(f"problems: {failed}; the first lines say which", err=True)
    return FAILED if failed else OK


def _require(settings: Settings) -> None:
    """Raises `RuntimeError` if a library is missing that the settings need, `FileRefused` for a token or a key."""
    for url in settings.sources:
        if (lacking := missing(adapter_of(url))) is not None:
            raise RuntimeError(lacking)
    require(settings)
    if settings.records:
        extra.require()
        Security(settings)


async def _connect(settings: Settings, functions: Sequence[Function]) -> int:
    """Try brokers and cluster; print what is wrong, then what is well. Returns how much is wrong."""
    results = [result for url in settings.sources for result in await _check_broker(settings, url)]
    results += await _check_cluster(settings, functions)
    if settings.records:
        results.append(await _check_history(settings))
    for line, _ in sorted(results, key=lambda result: result[1]):
        click.echo(clean(line), err=True)
    return sum(not good for _, good in results)


def _print_functions(functions: Sequence[Function], form: str) -> None:
    """What each function takes and runs; in JSON and YAML, a document of its own."""
    if form == "table":
        columns = ("FUNCTION", "NAMESPACE", "IMAGES", "FILTERS")
        rows = [
            (
                clean(facts["name"]),
                facts["namespace"] or "",
                clean(" ".join(facts["images"])),
                orjson.dumps(facts["filters"]).decode(),
            )
            for facts in map(_facts, functions)
        ]
        click.echo()
        table(columns, rows, wide="FILTERS")
    else:
        write(form, {"functions": [_facts(function) for function in functions]})


def _facts(function: Function) -> dict[str, Any]:
    containers = function.job["spec"]["template"]["spec"]["containers"]
    said = function.model_dump(by_alias=True, exclude_none=True)
    return {
        "name": function.name,
        "namespace": function.namespace,
        "images": [container["image"] for container in containers],
        "filters": [rule.model_dump(by_alias=True, exclude_none=True) for rule in function.filters],
        "env": function.env,
        **{name: value for name, value in said.items() if name not in ("name", "filters", "env", "job")},
    }


async def _check_broker(settings: Settings, url: str) -> list[tuple[str, bool]]:
    """Lines about the broker, each with whether all is well. It declares nothing."""
    adapter = adapter_of(url)
    unseen: tuple[str, ...] = ()
    try:
        async with broker_of(settings, url) as broker:
            unseen = adapter.unseen(url, settings.instance)
            await broker.check()
            if settings.publishes:
                await broker.probe()
            warned = await _replicas(broker)
    except (BrokerError, Failed) as error:
        return [(f"{adapter.name}: {error}", False), *((f"{adapter.name}: {line}", True) for line in unseen)]
    said = ("reachable, its streams and queues are as they should be", *unseen)
    return [
        (f"{adapter.name}: {'; '.join(said)}", True),
        *((f"{adapter.name}: warning: {line}", True) for line in warned),
    ]


async def _replicas(broker: Broker) -> list[str]:
    """Lines about replicas that are missing or away. The broker works without them."""
    try:
        replicas = await broker.replicas()
    except BrokerUnavailable as error:
        return [f"its replicas are not known now: {error}"]
    return [*short(replicas), *away(replicas)]


async def _check_cluster(settings: Settings, functions: Sequence[Function]) -> list[tuple[str, bool]]:
    """A line about the cluster and about each function, each with whether all is well."""
    try:
        async with cluster_of(settings, program=program_of(settings)) as cluster:
            answer = orjson.loads(await cluster.client.request("GET", "/version"))
            version = answer.get("gitVersion", "unknown version")
            namespaces = namespaces_of(settings, cluster)
            for namespace in namespaces:
                await _read_jobs(cluster, settings, namespace)
            tested = functions if settings.takes_in else ()
            tried = [await _try_function(cluster, settings, function) for function in tested]
    except KubernetesError as error:
        return [(f"cluster: {error}", False)]
    seen = (
        "Jobs can be listed" if settings.follows else "Pods can be listed" if settings.records else "Jobs can be read"
    )
    return [(f"cluster: reachable, {version}, {seen} in {', '.join(namespaces)}", True), *tried]


async def _check_history(settings: Settings) -> tuple[str, bool]:
    """A line about the database, with whether it can be used. It is read, and its tables stay as they are."""
    if settings.history is None:
        return "history: kept in memory, and read from the broker's log at each start", True
    # Only here: the libraries that it needs are an extra.
    from handler.history.sql.store import open_store

    try:
        async with open_store(settings.history) as store:
            places = [await store.position(adapter_of(url).name) for url in settings.sources]
    except HistoryError as error:
        return f"history: {error}", False
    recorded = sum(place is not None for place in places)
    return f"history: reachable, holds the events of {recorded} of {len(places)} brokers", True


async def _try_function(cluster: Cluster, settings: Settings, function: Function) -> tuple[str, bool]:
    """What the API server says to the function's Job, without making it."""
    event = build({"specversion": "1.0", "id": "check", "source": "/jobrelay/check", "type": "dev.jobrelay.check"})
    identity = Identity(event.get_source(), event.get_id(), function.name)
    call = Call(function, identity, dict.fromkeys(function.env, ""), Queueable(), event)
    options = options_of(settings, namespace=namespaces_of(settings, cluster)[0], broker="check")
    try:
        await cluster.try_job(render_call(call, options=options).job)
    except KubernetesError as error:
        return f"function {function.name}: {error}", False
    return f"function {function.name}: the cluster takes its Job", True


async def _read_jobs(cluster: Cluster, settings: Settings, namespace: str) -> None:
    """Read Jobs, or their pods, in the way that this role does, which needs no rights that the role lacks."""
    if settings.records:
        await cluster.pods_of(namespace, "check")
    elif settings.follows:
        await cluster.list_jobs(namespace, selector_of(settings))
    else:
        with suppress(NotFound):
            await cluster.read_job(namespace, settings.instance)
