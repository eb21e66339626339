"""Settings as values: what YAML and --set make of them arrives as jobrelay reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings as examples, strategies as st

from handler.settings.settings import Settings
from tests.docs.chart.settings import OF_THE_CHART
from tests.docs.settings import variable_of
from tests.k8s.deploy.chart.charts import Values, data_of_settings, helm, made
from tests.k8s.deploy.environs import settings_of
from tests.k8s.deploy.manifests import NAMESPACE
from tests.k8s.deploy.test_kustomize import kustomized

OF_A_CLUSTER = {
    "JOBRELAY_HTTP_ADDRESS": "0.0.0.0:8080",
    "JOBRELAY_LOG_FORMAT": "json",
    "JOBRELAY_SOURCES": "nats://nats.nats.svc:4222",
}
"""What the chart sets where the default would be of no use in a pod."""
NAMES = [name for name in Settings.model_fields if name not in OF_THE_CHART]
OF_THE_LOGIN = {"ui_address", "ui_auth", "ui_token_file"}
"""The console's own, unless they are given."""


def as_yaml(value: object) -> Any:
    """A setting as it is read from a values file."""
    if isinstance(value, tuple):
        return [as_yaml(item) for item in value]
    if isinstance(value, int | float) or value is None:
        return value
    return yaml.safe_load(str(value)) if value in ("on", "off") else str(value)


@pytest.mark.parametrize("role", ["handler", "controller", "console"])
def test_a_default_that_is_given_changes_nothing(role: str) -> None:
    defaults = Settings.from_env({})
    values = {variable_of(name): as_yaml(getattr(defaults, name)) for name in NAMES}
    console = {"console": {"enabled": True}}
    with_all = settings_of(made({"settings": {**values, **OF_A_CLUSTER}} | console), role).model_dump()
    with_none = settings_of(made(console), role).model_dump()
    differ = {name for name in with_all if with_all[name] != with_none[name]}
    assert differ <= (OF_THE_LOGIN if role == "console" else set())


ITEMS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=","), min_size=1, max_size=9)
BY_SHAPE: dict[str, st.SearchStrategy[Any]] = {
    "JOBRELAY_MAX_BYTES_IN_FLIGHT": st.integers(1 << 20, 1 << 53),
    "JOBRELAY_KUBE_TIMEOUT": st.floats(1, 300) | st.integers(1, 300),
    "JOBRELAY_UI_READ_ONLY": st.booleans() | st.sampled_from(["on", "off"]),
    "JOBRELAY_UI_OPERATORS": st.lists(ITEMS, max_size=4),
    "JOBRELAY_LANE_WEIGHTS": st.lists(st.integers(1, 100), min_size=3, max_size=3),
    "JOBRELAY_MAX_CPU": st.sampled_from([1, 2.5, "500m", None]),
    "JOBRELAY_KUBE_CONTEXT": ITEMS,
}


@examples(max_examples=15)
@given(st.fixed_dictionaries({}, optional=BY_SHAPE))
def test_a_value_is_the_text_that_jobrelay_reads(values: Values) -> None:
    data = data_of_settings({"settings": values})
    assert data.keys() == OF_A_CLUSTER.keys() | {name for name, value in values.items() if value is not None}
    for name, value in values.items():
        assert value is None or same(data[name], value), name


def same(text: str, value: Any) -> bool:
    if isinstance(value, list):
        return text == ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return text == ("on" if value else "off")
    return (
        int(text) == value
        if isinstance(value, int)
        else float(text) == value
        if isinstance(value, float)
        else text == value
    )


def test_values_of_a_file_and_of_the_command_line_arrive() -> None:
    written = "settings: {JOBRELAY_HISTORY_MAX_BYTES: 10737418240, JOBRELAY_LOGS: off, JOBRELAY_APP_LABEL: on}"
    of_file = data_of_settings(helm().values_from_yaml(written))
    assert (
        of_file.items()
        >= {
            "JOBRELAY_HISTORY_MAX_BYTES": "10737418240",
            "JOBRELAY_LOGS": "off",
            "JOBRELAY_APP_LABEL": "on",
        }.items()
    )
    line = r"settings.JOBRELAY_IMAGES={a/*,b/*},settings.JOBRELAY_TTL_SECONDS=86400,settings.JOBRELAY_LOG_FORMAT=null"
    of_line = data_of_settings(helm().parse_set_string(line))
    assert of_line.items() >= {"JOBRELAY_IMAGES": "a/*,b/*", "JOBRELAY_TTL_SECONDS": "86400"}.items()
    assert "JOBRELAY_LOG_FORMAT" not in of_line, "null takes what the chart sets away"


def test_other_variables_keep_true_and_false() -> None:
    data = data_of_settings({"env": {"OTEL_SDK_DISABLED": False, "OTEL_BSP_MAX_QUEUE_SIZE": 10000000, "A": None}})
    assert data == {**OF_A_CLUSTER, "OTEL_SDK_DISABLED": "false", "OTEL_BSP_MAX_QUEUE_SIZE": "10000000"}


def test_a_misspelt_setting_is_refused_by_its_name() -> None:
    with pytest.raises(helm().HelmError, match="JOBRELAY_IMAGE"):
        made({"settings": {"JOBRELAY_IMAGE": "registry.example/*"}})


@pytest.mark.kubectl
def test_kubectl_names_a_configmap_of_any_text_as_the_chart_does(tmp_path: Path) -> None:
    values = {
        "JOBRELAY_UI_OPERATORS": '<größe>&"\\\u2028 日本🙂',
        "JOBRELAY_REPLY_TOPICS": "a.>",
        "JOBRELAY_KEYS": "shared",
    }
    literals = [f"{name}={value}" for name, value in values.items()]
    generator = {"name": "jobrelay-settings", "namespace": NAMESPACE, "behavior": "merge", "literals": literals}
    by_kubectl = kustomized(tmp_path, {"resources": ["../deploy/overlays/nats"], "configMapGenerator": [generator]})
    assert made({"createNamespace": True, "settings": values}).keys() == by_kubectl.keys()
