"""Settings of the history: which databases and stores they name, and that no password is shown."""

import pytest

from handler.history.base import LogState
from handler.settings.settings import InvalidSettings, Settings
from handler.telemetry.history import LOG_STATES

PASSWORD = "hunter2"
LOCAL = "sqlite:///var/lib/jobrelay/history.db"


def errors(**environ: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({f"JOBRELAY_{name}": value for name, value in environ.items()})
    assert PASSWORD not in str(caught.value)
    return caught.value.errors


@pytest.mark.parametrize(
    "url",
    [
        LOCAL,
        "postgresql://db/history",
        "postgresql://user:p%40ss@db.example:5432/history?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://[::1]:5432/history",
    ],
)
def test_databases(url: str) -> None:
    assert Settings.from_env({"JOBRELAY_HISTORY": url}).history == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("history.db", "sqlite:///absolute/path or postgresql://user:password@host/database expected"),
        ("sqlite://history.db", "sqlite:///absolute/path or"),
        ("sqlite:///", "sqlite:///absolute/path or"),
        ("sqlite:///var/lib/", "sqlite:///absolute/path or"),
        ("sqlite:///var/lib/history.db?mode=ro", "sqlite:///absolute/path or"),
        (f"mysql://root:{PASSWORD}@db/history", "sqlite:///absolute/path or"),
        (f"postgresql://user:{PASSWORD}@db", "the name of the database expected after the host"),
        (f"postgresql://user:{PASSWORD}@db/history/x", "the name of the database expected after the host"),
        (f"postgresql://user:{PASSWORD}#@db/history", "# is written %23"),
        (f"postgresql://user:{PASSWORD}@db:x/history", "the port in the postgresql:// URL is no number"),
        (f"postgresql://user@db/history?password={PASSWORD}", "unknown parameters; allowed: sslmode, sslrootcert"),
        ("postgresql://db/history?sslmode=maybe", "the parameter sslmode in the postgresql:// URL has a value"),
    ],
)
def test_databases_that_cannot_be_used_are_refused(url: str, said: str) -> None:
    (error,) = errors(HISTORY=url)
    assert error.startswith("JOBRELAY_HISTORY: ")
    assert said in error


def test_the_password_of_a_database_is_not_shown() -> None:
    settings = Settings.from_env({"JOBRELAY_HISTORY": f"postgresql://user:{PASSWORD}@db/history?sslmode=require"})
    assert settings.printable()["JOBRELAY_HISTORY"] == "postgresql://***@db/history?sslmode=require"
    assert PASSWORD not in repr(settings)


@pytest.mark.parametrize("url", ["file:///var/lib/jobrelay/logs", "s3://bucket", "s3://bucket.name/some/prefix"])
def test_stores_of_logs(url: str) -> None:
    assert Settings.from_env({"JOBRELAY_HISTORY": LOCAL, "JOBRELAY_LOG_STORE": url}).log_store == url


@pytest.mark.parametrize(
    "url", ["logs", "file://logs", "file:///", f"s3://key:{PASSWORD}@bucket/x", "s3://B", "gs://b"]
)
def test_stores_of_logs_that_cannot_be_used_are_refused(url: str) -> None:
    said = "JOBRELAY_LOG_STORE: file:///absolute/directory or s3://bucket/prefix expected"
    assert errors(HISTORY=LOCAL, LOG_STORE=url) == [said]


def test_logs_are_kept_elsewhere_only_where_a_database_knows_of_them() -> None:
    (error,) = errors(LOG_STORE="s3://bucket/prefix")
    assert error.startswith("JOBRELAY_LOG_STORE needs a database in JOBRELAY_HISTORY")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HISTORY_DAYS", "7"),
        ("HISTORY_MAX_BYTES", "1000"),
        ("HISTORY_EVENTS", "some"),
        ("LOGS", "all"),
        ("LOG_BYTES", "16777217"),
        ("LOG_DAYS", "0"),
        ("LOG_CONCURRENCY", "65"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: str) -> None:
    (error,) = errors(**{name: value})
    assert error.startswith(f"JOBRELAY_{name}: ")


def test_the_database_is_found_by_other_names() -> None:
    assert errors(DATABASE_URL=LOCAL) == ["JOBRELAY_DATABASE_URL: no such setting; did you mean JOBRELAY_HISTORY?"]


@pytest.mark.parametrize(
    ("role", "does"),
    [
        ("both", (True, True, False)),
        ("handler", (True, False, False)),
        ("controller", (False, True, False)),
        ("console", (False, False, True)),
    ],
)
def test_what_a_role_does(role: str, does: tuple[bool, bool, bool]) -> None:
    settings = Settings.from_env({"JOBRELAY_ROLE": role})
    assert (settings.takes_in, settings.follows, settings.records) == does


def test_the_states_of_logs_are_those_of_the_history() -> None:
    assert {*LOG_STATES, LogState.EXPIRED} == set(LogState)
