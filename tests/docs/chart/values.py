"""The chart's own values: all but the settings. Their defaults stand in the chart's values.yaml."""

from collections.abc import Mapping

from tests.docs.chart.words import (
    LABEL,
    NAME,
    Schema,
    choice,
    group,
    kubernetes,
    mapping,
    names,
    number,
    or_empty,
    switch,
    text,
)

_AMOUNT = r"^[0-9]+(\.[0-9]+)?([EPTGMK]i|[EPTGMk])?$"
_HOST = r"^(\*\.)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_SECRET = "Secret, made by you, "
_KEDA_SECRET = f"{_SECRET}with `host`, `username` and `password`. Empty: JOBRELAY_SOURCES of `broker.secret`."
_MOST_PODS = 1000


def image() -> Schema:
    return group(
        "The image of all roles.",
        {
            "repository": text("Where it is, without tag and digest.", pattern=r"^[^\s@]+$"),
            **_version("the version of this chart (`appVersion`)"),
            "pullPolicy": choice("When nodes pull it.", "Always", "IfNotPresent", "Never"),
            "pullSecrets": names("Names of Secrets for the registry."),
        },
    )


def _version(otherwise: str) -> Mapping[str, Schema]:
    return {
        "tag": text(f"The image's tag. Empty: {otherwise}.", pattern=or_empty(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")),
        "digest": text("`sha256:…`, which goes before the tag.", pattern=or_empty(r"^sha256:[0-9a-f]{64}$")),
    }


def broker() -> Schema:
    return group(
        "The broker. Its address is `settings.JOBRELAY_SOURCES`, with a password in it the Secret.",
        {
            "kind": choice("Which one: where its address is by default, and what KEDA asks.", "nats", "rabbitmq"),
            "secret": text(f"{_SECRET}with JOBRELAY_SOURCES; pods wait for it on RabbitMQ.", pattern=NAME),
            "natsCreds": _mounted("A NATS credentials file, `nats.creds` in the Secret.", "nats.creds"),
            "tls": _mounted(
                "A CA of the broker's own, and a client certificate.",
                "ca.crt, tls.crt and tls.key",
                {"clientCertificate": switch("Whether there is a client certificate; false: the CA alone.")},
            ),
        },
    )


def role(about: str, *, replicas: str, more: Mapping[str, Schema] | None = None) -> Schema:
    """What the Deployment of each role has. `replicas`: what its number means; `more`: what this role has beside it."""
    return group(
        about,
        {
            **(more or {}),
            "replicas": number(replicas, 0, _MOST_PODS),
            "resources": kubernetes("Requests and limits of the container."),
            "nodeSelector": mapping("Labels of the nodes that pods may run on.", "string"),
            "tolerations": kubernetes("Taints of nodes that pods tolerate.", "array"),
            "affinity": kubernetes("Where pods would rather run."),
            "priorityClassName": text("Priority class of the pods. Empty: the cluster's default."),
            "podLabels": mapping("Further labels of the pods.", "string"),
            "podAnnotations": mapping("Further annotations of the pods.", "string"),
            "serviceAccount": group(
                "The role's account.", {"annotations": mapping("Its annotations, as clouds want them.", "string")}
            ),
            "extraEnv": kubernetes("Further variables of the container, such as those from Secrets.", "array"),
            "extraEnvFrom": kubernetes("Further Secrets and ConfigMaps with variables.", "array"),
            "extraVolumes": kubernetes("Further volumes of the pod.", "array"),
            "extraVolumeMounts": kubernetes("Where the container has them.", "array"),
        },
    )


def keda() -> Schema:
    return group(
        "Handlers by what waits at the broker. KEDA has to be there.",
        {
            "enabled": switch("Whether KEDA scales the handlers; `handler.replicas` counts for nothing then."),
            "pollingInterval": number("Seconds between looks at the broker.", 1),
            "cooldownPeriod": number("Seconds without a message until no handler is left.", 0),
            "minReplicas": number("Handlers while nothing waits.", 0, _MOST_PODS),
            "maxReplicas": number("Handlers at most.", 1, _MOST_PODS),
            "threshold": number("Waiting requests of a lane for which there is one handler more.", 1),
            "nats": group(
                "Where KEDA asks NATS.",
                {
                    "monitoringEndpoint": text("`host:port` of NATS' monitoring.", pattern=r"^[^\s/:]+:[0-9]{1,5}$"),
                    "account": text("The account that has the streams.", pattern=r"^\S+$"),
                },
            ),
            "rabbitmq": group(
                "Where KEDA asks RabbitMQ.",
                {"secret": text(_KEDA_SECRET, pattern=or_empty(NAME))},
            ),
        },
    )


def console() -> Schema:
    own = {
        "enabled": switch("Whether there is a console."),
        "database": choice("Where the history is kept.", "memory", "sqlite", "postgresql"),
        "pageSecret": text(f"{_SECRET}with `token` and `key` of the page.", pattern=NAME),
        "historySecret": text(f"{_SECRET}with JOBRELAY_HISTORY, for `postgresql`.", pattern=NAME),
        "storage": group(
            "The volume, for `sqlite`.",
            {
                "size": text("More than `settings.JOBRELAY_HISTORY_MAX_BYTES`.", pattern=_AMOUNT),
                "className": text("Storage class, of block storage. Empty: the cluster's default."),
                "keep": switch("Whether it stays when the release goes, or the console gets another database."),
            },
        ),
        "ingress": group(
            "The page at a host name of yours.",
            {
                "enabled": switch("Whether there is an Ingress."),
                "host": text("Its host name.", pattern=_HOST),
                "className": text("Ingress class. Empty: the cluster's default."),
                "tlsSecret": text("Secret with the certificate: yours, or cert-manager's.", pattern=NAME),
                "annotations": mapping("Annotations of the Ingress.", "string"),
            },
        ),
        "oauth2Proxy": group(
            "Logins by your identity provider, in place of the token.",
            {
                "enabled": switch("Whether oauth2-proxy runs beside the console."),
                "image": text("The image of oauth2-proxy.", pattern=r"^\S+$"),
                "secret": text(f"{_SECRET}with oauth2-proxy's settings.", pattern=NAME),
                "operators": names("Who may act: patterns as in JOBRELAY_UI_OPERATORS."),
                "viewers": names("Who may look: patterns as in JOBRELAY_UI_VIEWERS."),
                "extraArgs": names("Further arguments of oauth2-proxy."),
                "resources": kubernetes("Requests and limits of its container."),
            },
        ),
    }
    return role(
        "The role that keeps the history and serves the page.",
        replicas="Consoles with `postgresql`, of which one records; otherwise there is one.",
        more=own,
    )


def own() -> Mapping[str, Schema]:
    """Every value but `settings`, by its name."""
    return {
        # Helm puts it into the values of every chart that another one includes.
        "global": {"description": "Values of a chart that includes this one; none is read.", "type": "object"},
        "createNamespace": switch("For `helm template | kubectl apply` alone: a release cannot own its namespace."),
        "image": image(),
        "broker": broker(),
        "env": mapping("Variables that are no settings, such as OTEL_*.", "string", "number", "boolean", "null")
        | {"patternProperties": {"^JOBRELAY_": False}},
        "functions": kubernetes("Functions (events/FUNCTIONS.md), which `jobrelay check` judges.", "array"),
        "handler": role(
            "The role that turns requests into Jobs.",
            replicas="Handlers, where KEDA does not scale them.",
            more={"image": group("Of the handlers alone, while controllers go first.", _version("as of all roles"))},
        ),
        "controller": role("The role that follows the Jobs.", replicas="Controllers, of which one leads."),
        "namespaces": group(
            "Jobs in more namespaces than the release's own.",
            {
                "enabled": switch("Whether there are ClusterRoles."),
                "bind": names(
                    "Namespaces that get RoleBindings, and that requests may name.",
                    item={"type": "string", "pattern": LABEL},
                ),
            },
        ),
        "podLogs": _optional("The controller may read logs."),
        "keda": keda(),
        "kueue": group(
            "Every Job goes into a LocalQueue of Kueue.",
            {
                "enabled": switch("Whether that is so."),
                "localQueue": text("The LocalQueue, which this chart makes.", pattern=NAME),
                "clusterQueue": text("The ClusterQueue, which is there.", pattern=NAME),
            },
        ),
        "monitoring": group(
            "For the Prometheus Operator and Grafana, whose CRDs have to be there.",
            {
                "enabled": switch("Whether there are a PodMonitor, alerts and a dashboard."),
                "labels": mapping("Labels that your Prometheus selects by.", "string"),
            },
        ),
        "networkPolicy": group(
            "Who reaches the processes, and whom they reach.",
            {
                "enabled": switch("Whether there are policies."),
                "monitoringNamespace": text("Namespace of Prometheus.", pattern=LABEL),
                "ingressNamespace": text("Namespace of the ingress controller.", pattern=LABEL),
                "egress": kubernetes("Further rules for all roles, as in a NetworkPolicy.", "array"),
            },
        ),
        "console": console(),
    }


def _optional(about: str) -> Schema:
    return group(about, {"enabled": switch("Whether that is so.")})


def _mounted(about: str, files: str, more: Mapping[str, Schema] | None = None) -> Schema:
    own = {
        "enabled": switch("Whether it is mounted."),
        "secret": text(f"{_SECRET}with {files}.", pattern=NAME),
    }
    return group(about, own | dict(more or {}))
