"""Settings are read from the environment, and all mistakes are reported at once."""

import pytest

from handler.settings.connections import kueue_of
from handler.settings.settings import InvalidSettings, Settings


def test_defaults_need_no_environment() -> None:
    assert Settings.from_env({}).sources == ("nats://127.0.0.1:4222",)


def test_values_are_parsed_to_their_types() -> None:
    environ = {
        "JOBRELAY_NAMESPACES": "jobs, batch",
        "JOBRELAY_LANE_WEIGHTS": "5,2,1",
        "JOBRELAY_DRAIN_SECONDS": "2.5",
        "PATH": "/bin",
    }
    settings = Settings.from_env(environ)
    assert settings.namespaces == ("jobs", "batch")
    assert settings.lane_weights == (5, 2, 1)
    assert settings.drain_seconds == 2.5


def test_an_empty_value_means_the_default() -> None:
    assert Settings.from_env({"JOBRELAY_INSTANCE": ""}).instance == "jobrelay"


def test_all_mistakes_are_named_at_once() -> None:
    environ = {
        "JOBRELAY_CONCURENCY": "3",
        "JOBRELAY_CONCURRENCY": "many",
        "JOBRELAY_INLINE_BYTES": "65537",
        "JOBRELAY_DEDUP_SECONDS": "299",
        "JOBRELAY_SOURCES": "http://broker",
    }
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env(environ)
    message = str(caught.value)
    assert len(caught.value.errors) == 5
    assert "JOBRELAY_CONCURENCY: no such setting; did you mean JOBRELAY_CONCURRENCY?" in message
    assert "JOBRELAY_CONCURRENCY: Input should be a valid integer" in message
    assert "JOBRELAY_INLINE_BYTES: Input should be less than or equal to 65536" in message
    assert "JOBRELAY_DEDUP_SECONDS: Input should be greater than or equal to 300" in message
    assert "JOBRELAY_SOURCES: not a broker URL; allowed: nats://host:port, tls://host:port, amqp://host:port" in message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("JOBRELAY_SOURCES", "nats://a:1,tls://b:1", "at most one broker of each kind"),
        ("JOBRELAY_LANE_WEIGHTS", "6,3,0", "from 1 to 100"),
        ("JOBRELAY_LEASE_SECONDS", "5", "JOBRELAY_LEASE_SECONDS > JOBRELAY_LEASE_RENEW_SECONDS"),
        ("JOBRELAY_LEASE_CALL_SECONDS", "10", "must be below JOBRELAY_LEASE_SECONDS"),
        ("JOBRELAY_TLS_CERT", "/etc/passwd", "JOBRELAY_TLS_CERT and JOBRELAY_TLS_KEY go together"),
        ("JOBRELAY_KUBECONFIG", "/nowhere/config", "JOBRELAY_KUBECONFIG: no such file: /nowhere/config"),
        ("JOBRELAY_NATS_DOMAIN", "hub.one", "JOBRELAY_NATS_DOMAIN"),
        ("JOBRELAY_NATS_API_PREFIX", "$JS.hub.API.>", "JOBRELAY_NATS_API_PREFIX"),
        ("JOBRELAY_NATS_API_PREFIX", "JS.API.", "JOBRELAY_NATS_API_PREFIX"),
        ("JOBRELAY_HTTP_ADDRESS", "8080", "JOBRELAY_HTTP_ADDRESS"),
        ("JOBRELAY_INSTANCE", "Team A", "JOBRELAY_INSTANCE"),
        ("JOBRELAY_KUEUE_QUEUE", "Team_A", "JOBRELAY_KUEUE_QUEUE: the name of a LocalQueue expected: a-z, 0-9"),
        ("JOBRELAY_KUEUE_QUEUE", "a" * 64, "at most 63"),
        ("JOBRELAY_KUEUE_PRIORITY_CLASSES", "high", "<least priority, 0-1000>=<name> expected"),
        ("JOBRELAY_KUEUE_PRIORITY_CLASSES", "1001=high", "<least priority, 0-1000>=<name> expected"),
        ("JOBRELAY_KUEUE_PRIORITY_CLASSES", "0=High", "a-z, 0-9, - and . inside"),
        ("JOBRELAY_KUEUE_PRIORITY_CLASSES", "5=low,5=high", "one class for each least priority"),
    ],
)
def test_values_that_cannot_work_are_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match="invalid settings") as caught:
        Settings.from_env({name: value})
    assert said in str(caught.value)


def test_a_domain_and_an_api_prefix_are_not_given_together() -> None:
    with pytest.raises(InvalidSettings, match="JOBRELAY_NATS_DOMAIN and JOBRELAY_NATS_API_PREFIX do not go together"):
        Settings.from_env({"JOBRELAY_NATS_DOMAIN": "hub", "JOBRELAY_NATS_API_PREFIX": "main.js"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("JOBRELAY_MAX_ACTIVE", "5"), ("JOBRELAY_MAX_ACTIVE_GPUS", "1"), ("JOBRELAY_ADMISSION", "always")],
)
def test_where_kueue_decides_our_limits_are_refused(name: str, value: str) -> None:
    said = f"JOBRELAY_KUEUE_QUEUE does not go with {name}"
    with pytest.raises(InvalidSettings, match=said):
        Settings.from_env({"JOBRELAY_KUEUE_QUEUE": "team", name: value})


def test_priority_classes_of_kueue_are_in_order_of_their_priorities() -> None:
    environ = {"JOBRELAY_KUEUE_QUEUE": "team.a", "JOBRELAY_KUEUE_PRIORITY_CLASSES": "500=high, 0=low"}
    kueue = kueue_of(Settings.from_env(environ))
    assert (kueue.queue, kueue.classes) == ("team.a", ((0, "low"), (500, "high")))
    assert kueue_of(Settings.from_env({})).queue is None


@pytest.mark.parametrize(
    "name",
    ["JOBRELAY_SERVICE_HOST", "JOBRELAY_PORT", "JOBRELAY_PORT_8080_TCP_ADDR", "JOBRELAY_METRICS_SERVICE_PORT_HTTP"],
)
def test_variables_of_kubernetes_services_are_no_mistakes(name: str) -> None:
    Settings.from_env({name: "tcp://10.0.0.1:8080"})


def test_no_setting_can_be_mistaken_for_a_variable_of_a_service() -> None:
    names = [f"JOBRELAY_{name.upper()}" for name in Settings.model_fields]
    assert all(Settings.from_env({name: ""}) for name in names)
    assert not [name for name in names if name.endswith(("_PORT", "_SERVICE_HOST"))]


def test_printed_settings_hide_passwords() -> None:
    settings = Settings.from_env({"JOBRELAY_SOURCES": "nats://user:hunter2@broker:4222"})
    printed = settings.printable()
    assert printed["JOBRELAY_SOURCES"] == "nats://***@broker:4222"
    assert "hunter2" not in str(printed)
    assert len(printed) == len(Settings.model_fields)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("JOBRELAY_IMAGE", "JOBRELAY_IMAGES"),
        ("JOBRELAY_LOGLEVEL", "JOBRELAY_LOG_LEVEL"),
        ("JOBRELAY_log_level", "JOBRELAY_LOG_LEVEL"),
        ("JOBRELAY_NATS_URL", "JOBRELAY_SOURCES"),
        ("JOBRELAY_BROKER_URL", "JOBRELAY_SOURCES"),
    ],
)
def test_the_setting_that_was_meant_is_named(name: str, meant: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({name: "x"})
    assert f"{name}: no such setting; did you mean {meant}?" in caught.value.errors


def test_a_setting_that_is_like_no_other_is_not_guessed_at() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({"JOBRELAY_XYZ": "x"})
    assert caught.value.errors == ["JOBRELAY_XYZ: no such setting"]
