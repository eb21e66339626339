"""Values that contradict each other are refused, by a message that names them."""

import pytest

from handler.settings.admission import LIMITS
from handler.settings.settings import InvalidSettings, Settings
from tests.docs.settings import variable_of
from tests.k8s.deploy.chart.charts import Values, helm, made, values_of
from tests.k8s.deploy.manifests import NAMESPACE

BOTH = "nats://nats:4222,amqp://rabbitmq"
CONTRADICTIONS: list[tuple[Values, str]] = [
    ({"broker": {"kind": "rabbitmq"}, "settings": {"JOBRELAY_SOURCES": "nats://nats:4222"}}, "broker.kind"),
    ({"broker": {"kind": "nats"}, "settings": {"JOBRELAY_SOURCES": ["amqps://rabbitmq"]}}, "broker.kind"),
    ({"broker": {"natsCreds": {"enabled": True}}, "settings": {"JOBRELAY_NATS_CREDS": "/a"}}, "JOBRELAY_NATS_CREDS"),
    ({"keda": {"enabled": True, "minReplicas": 5}}, "keda.minReplicas"),
    ({"keda": {"enabled": True}, "settings": {"JOBRELAY_SOURCES": BOTH}}, "keda.minReplicas"),
    (
        {
            "keda": {"enabled": True},
            "broker": {"kind": "rabbitmq"},
            "settings": {"JOBRELAY_SOURCES": "amqp://rabbitmq"},
        },
        "keda.rabbitmq.secret",
    ),
    ({"namespaces": {"bind": ["a"]}, "settings": {"JOBRELAY_NAMESPACES": ["b"]}}, "namespaces.bind"),
    ({"namespaces": {"bind": [NAMESPACE]}}, "namespaces.bind"),
    ({"kueue": {"enabled": True}, "settings": {"JOBRELAY_KUEUE_QUEUE": "other"}}, "kueue.localQueue"),
    ({"kueue": {"enabled": True}, "settings": {"JOBRELAY_ADMISSION": "always"}}, "JOBRELAY_ADMISSION"),
    *(
        ({"kueue": {"enabled": True}, "settings": {variable_of(limit): 5}}, f"{variable_of(limit)}: Kueue decides")
        for limit in LIMITS
    ),
    ({"console": {"ingress": {"enabled": True}}}, "console.ingress.enabled"),
    ({"console": {"oauth2Proxy": {"enabled": True}}}, "console.oauth2Proxy.enabled"),
    ({"console": {"enabled": True}, "settings": {"JOBRELAY_UI_ADDRESS": "0.0.0.0:80"}}, "JOBRELAY_UI_ADDRESS"),
    *(
        (
            {
                "console": {"enabled": True, "oauth2Proxy": {"enabled": True}},
                "settings": {f"JOBRELAY_UI_{name}": value},
            },
            f"JOBRELAY_UI_{name}: console.oauth2Proxy",
        )
        for name, value in (("AUTH", "token"), ("OPERATORS", ["a"]), ("ADDRESS", "0.0.0.0:8081"))
    ),
    *(
        ({"settings": {"JOBRELAY_HTTP_ADDRESS": address}}, "JOBRELAY_HTTP_ADDRESS")
        for address in ("0.0.0.0:9090", "127.0.0.1:8080", "localhost:8080", "[::1]:8080", None)
    ),
]


@pytest.mark.parametrize(("values", "named"), CONTRADICTIONS, ids=lambda given: given if isinstance(given, str) else "")
def test_a_contradiction_is_refused_by_name(values: Values, named: str) -> None:
    with pytest.raises(helm().HelmError) as refused:
        made(values)
    assert named in str(refused.value)


@pytest.mark.parametrize("values", [{variable_of(limit): "5"} for limit in LIMITS] + [{"JOBRELAY_ADMISSION": "always"}])
def test_what_the_chart_refuses_with_kueue_the_program_refuses_as_well(values: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="JOBRELAY_KUEUE_QUEUE"):
        Settings.from_env({**values, "JOBRELAY_KUEUE_QUEUE": "jobrelay"})


def test_two_brokers_go_with_keda_where_a_handler_stays() -> None:
    keda = {"enabled": True, "minReplicas": 1}
    assert made({"keda": keda, "settings": {"JOBRELAY_SOURCES": BOTH}})
    assert made({**values_of("rabbitmq"), "keda": {"enabled": True, "rabbitmq": {"secret": "its-own"}}})
