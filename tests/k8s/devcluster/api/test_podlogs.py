"""What `pods/<name>/log` answers to each of its options."""

from typing import Any

import pytest

from tests.k8s.devcluster.served import PODS, Client


def make_pod(*names: str) -> dict[str, Any]:
    containers = [{"name": name, "image": "x:1", "command": ["sh", "-c", f"echo from {name}"]} for name in names]
    return {"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", "containers": containers}}


async def ended(client: Client, pod: dict[str, Any]) -> None:
    await client.made(PODS, pod)
    async with client.watching(f"{PODS}?fieldSelector=status.phase=Succeeded") as events:
        await anext(events)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "from main\n"),
        ("?limitBytes=4", "from"),
        ("?tailLines=0", ""),
        ("?sinceSeconds=3600", "from main\n"),
        ("?sinceTime=2020-01-01T00:00:00Z", "from main\n"),
        ("?sinceTime=2999-01-01T00:00:00Z", ""),
        ("?container=main&follow=true", "from main\n"),
        ("?follow=true&tailLines=1", "from main\n"),
        ("?follow=true&limitBytes=4", "from"),
    ],
)
async def test_the_log_is_cut_as_asked(client: Client, query: str, expected: str) -> None:
    await ended(client, make_pod("main"))
    answer = await client("GET", f"{PODS}/p/log{query}")
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0], answer.body) == (
        200,
        "text/plain",
        expected,
    )


async def test_lines_are_told_and_selected_by_when_they_were_written(client: Client) -> None:
    pod = make_pod("main")
    pod["spec"]["containers"][0]["command"][-1] = "echo one; sleep 1.5; echo two"
    await ended(client, pod)
    stamped = (await client("GET", f"{PODS}/p/log?timestamps=true")).body
    (first, one), (second, two) = (line.split(" ") for line in stamped.splitlines())
    assert (one, two, len(first), len(second)) == ("one", "two", 30, 30)
    assert first < second
    # The API server passes on whole seconds.
    assert (await client("GET", f"{PODS}/p/log?sinceTime={second}")).body == "two\n"
    assert (await client("GET", f"{PODS}/p/log?sinceTime={first}&follow=true")).body == "one\ntwo\n"
    followed = await client("GET", f"{PODS}/p/log?follow=true&timestamps=true&limitBytes=35")
    assert followed.body == stamped[:35]


async def test_of_several_containers_one_must_be_named(client: Client) -> None:
    await ended(client, make_pod("a", "b"))
    answer = await client("GET", f"{PODS}/p/log")
    assert (answer.status, "choose one of: [a b]" in answer.body["message"]) == (400, True)
    assert (await client("GET", f"{PODS}/p/log?container=b")).body == "from b\n"
    assert (await client("GET", f"{PODS}/p/log?container=c")).status == 400
    for text in ("now", "2020-01-01T24:00:00Z"):
        assert (await client("GET", f"{PODS}/p/log?container=b&sinceTime={text}")).status == 400
