"""The forms of the page, whole and without a script: fill in, be told what is wrong, run again, act, confirm."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from tests.handler.console.actions.acting import Site, gone, site
from tests.handler.samples import make_request, until


class _Inputs(HTMLParser):
    """What each form of a page would send if nothing was changed, by its action."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self._area: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._form = self.forms.setdefault(given.get("action", ""), {})
        elif tag == "input" and name and given.get("type") != "checkbox":
            self._form[name] = given.get("value", "")
        elif tag == "textarea":
            self._area = name
            self._form[name] = ""
        elif tag == "select":
            self._select = name
            self._form[name] = ""
        elif tag == "option" and self._select is not None and "selected" in given:
            self._form[self._select] = given.get("value", "<text>")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            # The parser of browsers drops a line feed right after the tag.
            self._form[self._area] += data.removeprefix("\n") if not self._form[self._area] else data
        elif self._select is not None and self._form[self._select] == "<text>":
            self._form[self._select] = data


async def _form(here: Site, path: str, action: str) -> dict[str, str]:
    answer = await here.page.get(path)
    text = await answer.text()
    assert answer.status == 200, text
    return _of(text, action)


def _of(text: str, action: str) -> dict[str, str]:
    parser = _Inputs()
    parser.feed(text)
    return parser.forms[action]


async def _sent(here: Site, path: str, fields: Any) -> str:
    """Where the page leads to after the form was taken."""
    answer = await here.page.post(path, data=fields)
    assert answer.status == 303, await answer.text()
    return str(answer.headers["Location"])


HOSTILE = '<script>alert("1")</script>\u202egnp.exe & \'"'


async def test_a_form_is_filled_in_mended_sent_and_run_again_with_another_image(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with site(broker, cluster) as here:
        form = await _form(here, "/submit", "/submit")
        form |= {"job.image": "busybox:1", "job.command": "sh -c 'test $A = 1", "job.env": f"A=2\nB={HOSTILE}"}
        form |= {"id": "a b/c", "further": "metadata: {x: 1.50}\ncolour: red", "retries": "many"}
        answer = await here.page.post("/submit", data=form)
        text = await answer.text()
        assert answer.status == 422
        assert "<script>alert" not in text
        kept = _of(text, "/submit")
        assert {name: kept[name] for name in form} == form
        form["job.command"] = "sh -c 'test $A = 1'"
        text = await (await here.page.post("/submit", data=form)).text()
        told = {unescape(name) for name in re.findall(r'aria-invalid="true"|<li><code>([^<]+)</code>', text)}
        assert {"colour", "retries"} <= told
        form |= {"retries": "", "further": '{"metadata": {"x": 1.50}}'}
        where = await _sent(here, "/submit", form)
        assert where.startswith("/done?event=")
        assert await _sent(here, "/submit", form) == where
        failed = await here.recorded("a b/c", "failed")
        assert str((await here.page.get(where)).headers["Location"]) == f"/requests/{failed.pk}"

        again = await _form(here, f"/submit?again={failed.pk}", "/submit")
        assert again["job.env"] == f"A=2\nB={HOSTILE}"
        assert again["replayOf"] == "a b/c"
        assert "1.50" in again["further"]
        again |= {"job.image": "busybox:2", "job.env": "A=1"}
        await _sent(here, "/submit", again)
        made = await here.recorded(again["id"], "succeeded")
        assert (made.image, made.replay_of) == ("busybox:2", "a b/c")


async def test_a_request_is_run_again_once_its_job_has_gone(broker: MemoryBroker, cluster: Cluster) -> None:
    env = [{"name": "A", "value": HOSTILE}, {"name": "B", "value": "$(A)"}]
    async with site(broker, cluster) as here:
        await here.client.publish(make_request("done", script='test -n "$A"', priority=3, job={"env": env}))
        number = await gone(here, cluster, "done")
        again = await _form(here, f"/submit?again={number}", "/submit")
        assert (again["job.command"], again["job.env"]) == ("sh -c 'test -n \"$A\"'", f"A={HOSTILE}\nB=$(A)")
        assert (again["priority"], again["replayOf"]) == ("3", "done")
        assert "has gone from the cluster" not in await (await here.page.get(f"/submit?again={number}")).text()
        await _sent(here, "/submit", again | {"job.image": "busybox:2"})
        made = await here.recorded(again["id"], "succeeded")
        assert (made.image, made.replay_of) == ("busybox:2", "done")


async def test_a_document_and_an_event_are_sent(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        form = await _form(here, "/submit?as=document", "/submit")
        assert "busybox" in form["document"]
        for text, said in (
            ("a: [", "line"),
            ("job: *x", "alias"),
            ("", "missing"),
            ("[1]", "object"),
            ("x: " * 6_000, "YAML"),
        ):
            answer = await here.page.post("/submit", data=form | {"document": text})
            assert answer.status == 422
            assert said in await answer.text()
        await _sent(here, "/submit", form | {"document": "id: doc\njob: {image: busybox, command: ['true']}"})
        await here.recorded("doc", "succeeded")
        shown = await here.page.post("/submit", data=form | {"as": "form", "show": "document", "job.image": "a"})
        assert '"image": "a"' in _of(await shown.text(), "/submit")["document"]
        event = await _form(here, "/submit?as=event", "/submit")
        event |= {"type": "com.example.made", "data": '{"n": 1}', "attributes": "colour=red"}
        await _sent(here, "/submit", event)
        letters = await here.client.dead_letters(1)
        assert letters[0].event().get_extension("colour") == "red"
        assert letters[0].event().get_extension("actor")


async def test_buttons_act_and_several_are_acted_on_after_a_preview(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(*(make_request(f"n/{number}", script="sleep 600") for number in range(2)))
        first, second = [(await here.recorded(f"n/{number}", "started")).pk for number in range(2)]
        token = (await _form(here, "/submit", "/submit"))["token"]
        button = {"token": token, "event": "e-1"}
        assert await _sent(here, f"/requests/{first}/suspend", button) == f"/requests/{first}?done=e-1"
        assert await _sent(here, f"/requests/{first}/again", {"token": token}) == f"/submit?again={first}"
        await here.recorded("n/0", "suspended")
        chosen = [("token", token), ("verb", "cancel"), ("number", str(first)), ("number", str(second))]
        text = await (await here.page.post("/requests/actions", data=chosen)).text()
        assert "Cancel 2 of 2?" in text
        assert "n/1" in text
        plan = _of(text, "/requests/actions")
        where = await _sent(here, "/requests/actions", plan)
        assert where == await _sent(here, "/requests/actions", plan)
        await here.recorded("n/0", "cancelled")
        await here.recorded("n/1", "cancelled")
        assert len(await here.answered(3)) == 3
        done = await (await here.page.get("/done?event=e-1")).text()
        assert "Accepted" in done
        answer = await here.page.post(f"/requests/{first}/cancel", data=button)
        assert answer.status == 409


async def test_schedules_and_dead_letters_are_acted_on(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(
            make_request("night/ly 1", schedule="0 3 * * *"), make_request("bad", job={"image": 7})
        )
        await here.recorded("night/ly 1", "scheduled")
        token = (await _form(here, "/submit", "/submit"))["token"]
        path = "/schedules/night%2Fly%201"
        await _sent(here, f"{path}/suspend", {"token": token})

        async def suspended() -> bool:
            found = await cluster.list_cron_jobs(cluster.default_namespace, "")
            return bool(found[0]["spec"].get("suspend"))

        await until(suspended)
        await _sent(here, f"{path}/run", {"token": token, "event": "now"})
        ran = await here.made("night/ly 1@", "succeeded")
        assert ran.key.source == "/tests"
        text = await (await here.page.post(f"{path}/cancel", data={"token": token, "event": "gone"})).text()
        await _sent(here, f"{path}/cancel", _of(text, f"{path}/cancel"))
        await here.recorded("night/ly 1", "unscheduled")
        (letter,) = await here.client.dead_letters(1)
        replay = f"/dead/{letter.sequence}/replay"
        await _sent(here, replay, {"token": token, "digest": "0" * 32, "event": "other"})
        await _sent(here, replay, {"token": token, "event": "this"})

        async def replayed() -> int | None:
            # It is refused again, under another number.
            numbers = [one.sequence for one in await here.client.dead()]
            return numbers[0] if numbers and numbers[0] != letter.sequence else None

        number = await until(replayed)
        assert (await here.page.post("/dead/99/drop", data={"token": token})).status == 404
        chosen = {"token": token, "verb": "drop", "letter": f"memory/{number}/{letter.cursor.digest}"}
        text = await (await here.page.post("/dead/actions", data=chosen)).text()
        assert "Drop 1 of 1?" in text
        await _sent(here, "/dead/actions", _of(text, "/dead/actions"))

        async def dropped() -> bool:
            return not await here.client.dead()

        await until(dropped)
