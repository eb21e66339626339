"""Settings of the page: where it may be served without asking who looks, and what each way to tell that needs."""

from pathlib import Path

import pytest

from handler.settings.page import is_loopback
from handler.settings.settings import InvalidSettings, Settings


def settings(**environ: str) -> Settings:
    return Settings.from_env(
        {"JOBRELAY_ROLE": "console"} | {f"JOBRELAY_UI_{key}": text for key, text in environ.items()}
    )


def errors(**environ: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        settings(**environ)
    return caught.value.errors


def test_an_empty_address_is_no_page_and_no_address_is_the_default() -> None:
    assert settings().ui_address == "127.0.0.1:8081"
    assert settings(ADDRESS="").ui_address is None
    assert settings(ADDRESS="").printable()["JOBRELAY_UI_ADDRESS"] == ""


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "a.localhost", "[::1]", "::1", "[::ffff:7f00:1]"]
)
def test_addresses_of_this_machine_need_no_login(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "10.0.0.1", "[::ffff:a00:1]", "localhost.example", "127.0.0.1.example", ""]
)
def test_all_others_do(host: str) -> None:
    assert not is_loopback(host)
    if host:
        (error,) = errors(ADDRESS=f"{host}:8081")
        assert error.startswith("JOBRELAY_UI_AUTH=none needs a loopback address in JOBRELAY_UI_ADDRESS")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ADDRESS", "8081", "host:port expected"),
        ("ADDRESS", "localhost:99999", "host:port expected"),
        ("ADDRESS", "http://localhost:8081", "host:port expected"),
        ("AUTH", "basic", "Input should be 'none', 'token' or 'proxy'"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "without bits after its prefix"),
        ("TRUSTED_PROXIES", "proxy", "an address or a network"),
        ("BASE_PATH", "jobs", "a path such as /jobs expected"),
        ("BASE_PATH", "/a/../b", "a path such as /jobs expected"),
        ("BASE_PATH", "//evil", "a path such as /jobs expected"),
        ("BASE_PATH", "/<script>", "a path such as /jobs expected"),
        ("READ_ONLY", "maybe", "Input should be 'on' or 'off'"),
        ("STREAMS", "0", "greater than or equal to 1"),
        ("STREAMS", "2001", "less than or equal to 2000"),
        ("SESSION_HOURS", "169", "less than or equal to 168"),
        ("LOGIN_TRIES", "many", "a valid integer"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, text: str, said: str) -> None:
    (error,) = errors(**{name: text})
    assert error.startswith(f"JOBRELAY_UI_{name}: ")
    assert said in error


def test_each_way_to_tell_who_asks_says_what_it_needs(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert errors(AUTH="token") == [
        "JOBRELAY_UI_AUTH=token needs JOBRELAY_UI_TOKEN_FILE or JOBRELAY_UI_VIEW_TOKEN_FILE"
    ]
    (error,) = errors(AUTH="token", TOKEN_FILE=missing, SECRET_FILE=missing)
    assert error == (
        f"JOBRELAY_UI_TOKEN_FILE: no such file: {missing}; JOBRELAY_UI_SECRET_FILE: no such file: {missing}"
    )
    (error,) = errors(AUTH="proxy", ADDRESS="0.0.0.0:8081")
    assert "needs JOBRELAY_UI_TRUSTED_PROXIES" in error
    assert "needs JOBRELAY_UI_OPERATORS or JOBRELAY_UI_VIEWERS" in error
    assert (
        settings(AUTH="proxy", TRUSTED_PROXIES="10.0.0.0/8,::1", VIEWERS="*", BASE_PATH="/jobs/").ui_base_path
        == "/jobs"
    )


def test_each_stream_needs_a_connection() -> None:
    (error,) = errors(STREAMS="512")
    assert (
        error
        == "JOBRELAY_UI_CONNECTIONS=512 needs to be more than JOBRELAY_UI_STREAMS=512: each stream is a connection"
    )
    assert settings(STREAMS="2000", CONNECTIONS="2001").ui_streams == 2000


def test_other_roles_take_the_settings_without_the_files() -> None:
    environ = {"JOBRELAY_UI_ADDRESS": "0.0.0.0:8081", "JOBRELAY_UI_TOKEN_FILE": "/missing", "JOBRELAY_UI_AUTH": "token"}
    assert Settings.from_env(environ).ui_auth == "token"
    assert Settings.from_env({**environ, "JOBRELAY_ROLE": "console", "JOBRELAY_UI_ADDRESS": ""}).ui_address is None
