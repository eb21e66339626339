"""The schema of the chart's values: what Helm refuses and takes with it, and that it says what the settings say."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st
from jsonschema import Draft7Validator

from handler.settings.settings import InvalidSettings, Settings
from tests.docs.chart.schema import schema
from tests.docs.chart.settings import OF_THE_CHART
from tests.docs.pages import pages
from tests.docs.settings import variable_of
from tests.k8s.deploy.chart.charts import CHART, Values, helm
from tests.paths import DEPLOY

SCHEMA = schema()
SETTINGS: dict[str, Any] = SCHEMA["properties"]["settings"]["properties"]
NUMBERS = {name: rule for name, rule in SETTINGS.items() if {"integer", "number"} & {*rule.get("type", ())}}
CHOICES = {name: rule for name, rule in SETTINGS.items() if "enum" in rule}
AMOUNTS = [name for name, rule in NUMBERS.items() if "string" in rule["type"]]


@cache
def chart() -> Any:
    """The chart, loaded once."""
    return helm().Chart.load(CHART)


def read(text: str) -> Values:
    """Values as Helm reads them."""
    values: Values = helm().values_from_yaml(text)
    return values


def refusal(text: str) -> str:
    """What Helm says about these values."""
    with pytest.raises(helm().HelmValuesError) as caught:
        chart().validate_schema(read(text))
    return str(caught.value)


REFUSED = (
    ("{JOBRELAY_IMGES: [a]}", "", "additional properties 'JOBRELAY_IMGES' not allowed"),
    ("{JOBRELAY_ROLE: both}", "", "additional properties 'JOBRELAY_ROLE' not allowed"),
    ("{JOBRELAY_CONCURRENCY: many}", "/JOBRELAY_CONCURRENCY", "got string, want null or integer"),
    ("{JOBRELAY_CONCURRENCY: 4097}", "/JOBRELAY_CONCURRENCY", "maximum: got 4,097, want 4,096"),
    ("{JOBRELAY_CONCURRENCY: 1.5}", "/JOBRELAY_CONCURRENCY", "got number, want null or integer"),
    ("{JOBRELAY_MAX_CPU: 2 cores}", "/JOBRELAY_MAX_CPU", "'2 cores' does not match"),
    ("{JOBRELAY_LOGS: on}", "/JOBRELAY_LOGS", "value must be one of 'off', 'end', 'follow'"),
    ("{JOBRELAY_INSTANCE: Mine}", "/JOBRELAY_INSTANCE", "'Mine' does not match"),
    ("{JOBRELAY_LANE_WEIGHTS: [1, 2]}", "/JOBRELAY_LANE_WEIGHTS", "minItems: got 2, want 3"),
    ("{JOBRELAY_IMAGES: []}", "/JOBRELAY_IMAGES", "minItems: got 0, want 1"),
    ("{JOBRELAY_IMAGES: ['a,b']}", "/JOBRELAY_IMAGES/0", "'a,b' does not match"),
)
"""Settings, where they are wrong, and what Helm says."""


@pytest.mark.parametrize(("settings", "at", "words"), REFUSED)
def test_settings_that_do_not_fit_are_refused_by_helm_with_their_names(settings: str, at: str, words: str) -> None:
    assert f"at '/settings{at}': {words}" in refusal(f"settings: {settings}")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("handler: {replica: 2}", "at '/handler': additional properties 'replica' not allowed"),
        ("keda: {nats: {acount: A}}", "at '/keda/nats': additional properties 'acount' not allowed"),
        ("brokr: {}", "at '': additional properties 'brokr' not allowed"),
        ("broker: {kind: kafka}", "at '/broker/kind': value must be one of 'nats', 'rabbitmq'"),
        ("image: {digest: '0123'}", "at '/image/digest': '0123' does not match"),
        ("env: {JOBRELAY_IMAGES: a}", "at '/env/JOBRELAY_IMAGES'"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_helm_with_their_names(values: str, words: str) -> None:
    assert words in refusal(values)


@pytest.mark.parametrize("broken", ["amqp://me:hunter2@broker/@", "hunter2"])
def test_helm_quotes_no_setting_that_may_hold_a_password(broken: str) -> None:
    named = {"JOBRELAY_SOURCES": [broken], "JOBRELAY_RABBITMQ_MANAGEMENT_URL": broken, "JOBRELAY_CONCURRENCY": 0}
    assert "hunter2" not in refusal(yaml.safe_dump({"settings": named}))


def test_helm_takes_every_default_as_yaml_has_it() -> None:
    given = Settings.from_env({}).model_dump(mode="json")
    named = {variable_of(name): value for name, value in given.items() if name not in OF_THE_CHART}
    # Of some lists the empty one means their default, and is refused where that is another.
    chart().validate_schema({"settings": named})
    chart().validate_schema({"settings": dict.fromkeys(named)})


def test_helm_takes_what_kubernetes_judges_itself() -> None:
    term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}
    pods = {
        "resources": {"limits": {"cpu": 2, "memory": "1Gi", "example.com/fpga": "1"}, "claims": [{"name": "a"}]},
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        "podLabels": {"team": "a"},
    }
    roles = dict.fromkeys(("handler", "controller", "console"), pods)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "A": 1, "B": True}
    # Helm gives a chart that another one includes `global`.
    chart().validate_schema(roles | {"env": env, "functions": [{"name": "a"}], "global": {"anything": {}}})


def test_the_values_of_the_documents_are_taken() -> None:
    shown = [page for page in pages() if "# values.yaml" in page.text]
    blocks = [block for page in shown for block in page.code("yaml") if block.startswith("# values.yaml")]
    assert blocks
    for block in blocks:
        chart().validate_schema(read(block))


def test_values_yaml_and_the_schema_name_the_same_values() -> None:
    given, described = {*paths_of_values(chart().values)}, {*paths_of_schema(SCHEMA)}
    assert given - described == set()
    assert described - given == {"global"}


def paths_of_values(values: dict[str, Any], at: str = "", rule: dict[str, Any] = SCHEMA) -> Iterator[str]:
    """The paths of all values, of those with names of their own choice without what is below them."""
    for name, value in values.items():
        below = rule["properties"].get(name, {})
        yield f"{at}{name}"
        if "properties" in below and name != "settings":
            yield from paths_of_values(value, f"{at}{name}.", below)


def paths_of_schema(rule: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, below in rule["properties"].items():
        yield f"{at}{name}"
        if "properties" in below and name != "settings":
            yield from paths_of_schema(below, f"{at}{name}.")


def test_every_value_is_described_and_every_object_of_ours_is_closed() -> None:
    Draft7Validator.check_schema(SCHEMA)
    for rule in objects(SCHEMA):
        assert rule["additionalProperties"] is False
        for member in rule["properties"].values():
            assert member["description"].endswith(".")


def objects(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield rule
    for member in rule["properties"].values():
        if "properties" in member:
            yield from objects(member)


def test_every_setting_is_there_but_those_that_deployments_set() -> None:
    assert {*SETTINGS} == {variable_of(name) for name in Settings.model_fields if name not in OF_THE_CHART}
    manifests = "".join(path.read_text() for part in ("base", "components") for path in (DEPLOY / part).rglob("*.yaml"))
    assert [name for name in OF_THE_CHART if f"name: {variable_of(name)}," not in manifests] == []


def taken_by_settings(name: str, value: object) -> bool:
    """Whether the setting itself takes it: rules about several settings do not count."""
    try:
        Settings.from_env({name: str(value)})
    except InvalidSettings as error:
        return not any(line.startswith(f"{name}: ") for line in error.errors)
    return True


def taken_by_schema(name: str, value: object) -> bool:
    return bool(Draft7Validator(SETTINGS[name]).is_valid(value))


def near_bounds(rule: Mapping[str, Any]) -> list[int | float]:
    """Numbers at, below and above the bounds, and far from them."""
    steps = (-1, 0, 1) if "integer" in rule["type"] else (-1, -0.01, 0, 0.01, 1)
    return [bound + step for bound in (rule["minimum"], rule.get("maximum", 10**12), 0) for step in steps]


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in AMOUNTS])
def test_a_number_is_taken_by_both_or_by_neither(name: str) -> None:
    numbers = near_bounds(NUMBERS[name])
    by_settings = [number for number in numbers if taken_by_settings(name, number)]
    assert by_settings == [number for number in numbers if taken_by_schema(name, number)] != numbers


def test_words_are_taken_by_both_or_by_neither() -> None:
    words = {word for rule in CHOICES.values() for word in rule["enum"] if isinstance(word, str)} | {"OFF", "yes"}
    differ = [(n, w) for n in CHOICES for w in words if taken_by_schema(n, w) != taken_by_settings(n, w)]
    assert differ == []
    # YAML 1.1 has no words `on` and `off`.
    shown = {True: "on", False: "off"}
    assert [(n, b) for n in CHOICES for b in shown if taken_by_schema(n, b) != taken_by_settings(n, shown[b])] == []


@given(
    st.sampled_from(AMOUNTS),
    st.one_of(
        st.integers(1, 10**6),
        st.decimals(Decimal("0.01"), 1000, places=2).map(float),
        st.builds(
            "{}{}".format, st.integers(1, 999), st.sampled_from(["", "m", "Ki", "Gi", "k", "M", "e3", "g", "GB"])
        ),
    ),
)
def test_amounts_are_taken_by_both_or_by_neither(name: str, value: int | float | str) -> None:
    assert taken_by_schema(name, value) == taken_by_settings(name, value)
