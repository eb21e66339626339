"""The settings as a page of Markdown, and as comments in the manifests' settings.env. Made from the models."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from handler.settings.admission import AdmissionSettings
from handler.settings.history import HistorySettings
from handler.settings.page import PageSettings
from handler.settings.policy import Amount, PolicySettings
from handler.settings.process import (
    BrokerSettings,
    ConnectionSettings,
    LeadershipSettings,
    LogSettings,
    RequestSettings,
    ServingSettings,
)
from handler.settings.settings import PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Group:
    """A section of the page: the fields of `model`."""

    title: str
    about: str
    model: type[BaseModel]


GROUPS = (
    Group("Connections", "What the process is, and which brokers and which cluster it uses.", ConnectionSettings),
    Group("Brokers", "How the brokers are reached and used.", BrokerSettings),
    Group(
        "Requests and their Jobs",
        "How requests are taken in, and how long their Jobs and control events are waited for.",
        RequestSettings,
    ),
    Group(
        "Policy",
        "What requests may ask for, and what they get where they ask for nothing: see [Policy](README.md#policy).",
        PolicySettings,
    ),
    Group(
        "Admission",
        "How many Jobs may run, and how many may wait: see [Queueing](../events/QUEUEING.md).",
        AdmissionSettings,
    ),
    Group("History", "What the role `console` keeps: see [History](README.md#history).", HistorySettings),
    Group("Page", "What the role `console` serves to people: see [The page](README.md#the-page).", PageSettings),
    Group("Leader election and watches", "The Lease of the controllers, and their watches.", LeadershipSettings),
    Group("Serving", "How the process ends, and where it answers probes.", ServingSettings),
    Group("Logs and traces", "See [Logs](README.md#logs) and [Traces](README.md#traces).", LogSettings),
)
HEAD = f"""\
# Settings

<!-- Generated from handler/settings by `make docs`. -->

Environment variables. All of them are checked before anything is connected to, and all mistakes are reported at once,
names that do not exist among them. An empty variable means the default, but
`JOBRELAY_UI_ADDRESS=` that there is no page. Lists are separated by commas; shell patterns are those of `fnmatch`, and
letter case counts. `jobrelay check` prints the settings in force. On a cluster they stand in the ConfigMap
`{PREFIX.lower()[:-1]}-settings`: see [Deploying](../k8s/README.md#deploying).
"""


def page() -> str:
    """All of handler/SETTINGS.md."""
    return "\n".join([HEAD, *(_section(group) for group in GROUPS)])


def comments() -> str:
    """The list of all settings with their defaults, for k8s/deploy/base/settings.env."""
    shown = Settings.from_env({}).printable()
    lines = []
    for name, field in Settings.model_fields.items():
        variable = variable_of(name)
        about = textwrap.fill(str(field.description).replace("`", ""), 118, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"{about}\n#{variable}={shown[variable]}")
    return "\n\n".join(lines)


def variable_of(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _section(group: Group) -> str:
    shown = Settings.from_env({}).printable()
    rows = [
        f"| `{variable_of(name)}` | {_code(shown[variable_of(name)])} | {_allowed(name)} | {field.description} |"
        for name, field in group.model.model_fields.items()
    ]
    head = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {group.title}", "", group.about, "", *head, *rows, ""])


def _allowed(name: str) -> str:
    """The values that a field takes, as far as its type states them."""
    annotation: Any = Settings.model_fields[name].annotation
    if Amount in get_args(annotation):
        return "a quantity, such as `500m` or `4Gi`"
    schema = Settings.model_json_schema()["properties"][name]
    return _of_schema(next((kind for kind in schema.get("anyOf", ()) if kind["type"] != "null"), schema))


def _of_schema(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(_code, schema["enum"]))
    if schema["type"] == "array":
        return "three numbers" if "prefixItems" in schema else "a list"
    if schema.get("format") == "path":
        return "a file"
    if "minimum" not in schema:
        return ""
    low, high = schema["minimum"], schema.get("maximum")
    return f"{low} or more" if high is None else f"{low}-{high}"


def _code(value: str) -> str:
    return f"`{value}`" if value else ""
