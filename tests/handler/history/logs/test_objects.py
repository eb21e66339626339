"""Chunks in a directory and in an S3 of our own: written again, gone, out of reach; hostile names."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.servers.free_port import free_port
from handler.history.base import Bodies, StoreRefused, StoreUnavailable
from handler.history.logs import objects
from handler.history.logs.objects import open_bodies
from tests.handler.history.logs.s3 import BUCKET, need_obstore, serving, variables

POD = "0a1b2c3d-0000-4000-8000-123456789abc"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("s3") / "log") as url:
        yield url


@pytest.fixture(params=["file", "s3"])
async def bodies(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bodies]:
    need_obstore()
    url = f"file://{tmp_path}/made/by us"
    if request.param == "s3":
        for name, value in variables(request.getfixturevalue("s3")).items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/of/{tmp_path.name}/"
    async with open_bodies(url) as opened:
        assert opened is not None
        yield opened


async def test_a_chunk_is_kept_until_it_is_deleted(bodies: Bodies) -> None:
    assert await bodies.get(POD, "main", 0) is None
    await bodies.delete(POD, "main", [0, 1])
    for body in (b"first", b"again, \x00 and longer"):
        await bodies.put(POD, "main", 0, body)
        assert await bodies.get(POD, "main", 0) == body
    await bodies.put(POD, "main", 1, b"x" * 70_000)
    await bodies.put(POD, "other", 0, b"another")
    assert await bodies.get(POD, "main", 1) == b"x" * 70_000
    await bodies.delete(POD, "main", [0, 1, 2])
    assert [await bodies.get(POD, "main", number) for number in (0, 1)] == [None, None]
    assert await bodies.get(POD, "other", 0) == b"another"


async def test_an_object_that_somebody_made_large_is_not_read_whole(bodies: Bodies) -> None:
    await bodies.put(POD, "main", 0, b"x" * 1_000_000)
    found = await bodies.get(POD, "main", 0)
    assert found is not None
    assert len(found) <= 131_072


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


NAMES = ("", ".", "..", "../..", "/etc", "a/b", "a\\b", "a\0b", "a%2fb", "_2e", "é", "\udce9", "a.b", "a b")


async def test_no_name_leads_elsewhere(tmp_path: Path) -> None:
    need_obstore()
    async with open_bodies(f"file://{tmp_path}/within") as bodies:
        assert bodies is not None
        for number, name in enumerate(NAMES):
            await bodies.put(name, name, number, name.encode(errors="surrogatepass") or b"-")
        for number, name in enumerate(NAMES):
            assert await bodies.get(name, name, number) == (name.encode(errors="surrogatepass") or b"-")
    found = files_in(tmp_path)
    assert len(found) == len(NAMES)
    assert all(len(path.relative_to(tmp_path / "within").parts) == 3 for path in found)


async def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_obstore()
    for name, value in variables(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "_RETRIES", 0)
    async with open_bodies(f"s3://{BUCKET}") as bodies:
        assert bodies is not None
        with pytest.raises(StoreUnavailable, match="the store of logs"):
            await bodies.put(POD, "main", 0, b"x")
        with pytest.raises(StoreUnavailable):
            await bodies.get(POD, "main", 0)
        with pytest.raises(StoreUnavailable):
            await bodies.delete(POD, "main", [0])
    with_file = tmp_path / "file"
    with_file.write_bytes(b"")
    with pytest.raises(StoreRefused, match="JOBRELAY_LOG_STORE cannot be opened"):
        async with open_bodies(f"file://{with_file}/within"):
            pass


async def test_a_store_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_obstore()
    monkeypatch.setattr(objects, "SECONDS", 0.1)
    go_on = threading.Event()
    async with open_bodies(f"file://{tmp_path}", workers=1) as bodies:
        assert bodies is not None
        monkeypatch.setattr(objects, "_key", lambda *_: go_on.wait() and "a/b/0")
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            await bodies.put(POD, "main", 0, b"x")
    go_on.set()


async def test_no_url_is_no_store() -> None:
    async with open_bodies(None) as bodies:
        assert bodies is None
