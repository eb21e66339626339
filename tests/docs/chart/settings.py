"""The settings as values of the chart, below `settings`: each by its own name, made from the models.

What a schema cannot say (rules about several settings, whether a URL can be read) the processes check when they start.
"""

from collections.abc import Mapping
from typing import Any, get_args

from handler.settings.policy import Amount
from handler.settings.settings import Settings
from tests.docs.chart import words
from tests.docs.chart.words import Schema
from tests.docs.settings import variable_of

OF_THE_CHART: Mapping[str, str] = {
    "role": "each Deployment has its own",
    "functions": "the value `functions`",
    "history": "`console.database`, and with a password in it the Secret `console.historySecret`",
    "ui_token_file": "the Secret `console.pageSecret`",
    "ui_secret_file": "the Secret `console.pageSecret`",
}
"""What no value sets, and what does in its place."""
_WITH_PASSWORDS = frozenset({"sources", "rabbitmq_management_url"})
"""Helm's error quotes a text that does not match, as one with a password where none may be: these have no pattern."""
_AMOUNT = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"
_ITEM: Schema = {"type": ["string", "integer"], "pattern": "^[^,]+$"}
_ABOUT = (
    "Settings by their names (handler/SETTINGS.md), for all roles. Numbers, lists and on/off are written as YAML has "
    "them, lists as a text with commas as well; null means jobrelay's default. Not among them: "
)


def settings() -> Schema:
    """The value `settings`."""
    fields = [name for name in Settings.model_fields if name not in OF_THE_CHART]
    others = "; ".join(f"{variable_of(name)} ({what})" for name, what in OF_THE_CHART.items())
    return words.group(f"{_ABOUT}{others}.", {variable_of(name): _setting(name) for name in fields})


def _setting(name: str) -> Schema:
    field = Settings.model_fields[name]
    about = str(field.description)
    if Amount in get_args(field.annotation):
        return words.text(about, pattern=words.or_empty(_AMOUNT)) | {
            "type": ["string", "number", "null"],
            "exclusiveMinimum": 0,
        }
    given = Settings.model_json_schema()["properties"][name]
    kind = next((part for part in given.get("anyOf", ()) if part["type"] != "null"), given)
    if "enum" in kind:
        return words.choice(about, *kind["enum"], *(value == "on" for value in kind["enum"] if value in {"on", "off"}))
    if kind["type"] == "array":
        return _list(name, about, kind)
    if kind["type"] in {"integer", "number"}:
        whole = kind["type"] == "integer"
        return words.number(about, kind.get("minimum"), kind.get("maximum"), whole=whole)
    pattern = None if name in _WITH_PASSWORDS else kind.get("pattern")
    return words.text(about, pattern=words.or_empty(pattern) if pattern else None)


def _list(name: str, about: str, kind: Mapping[str, Any]) -> Schema:
    """An array, or a text with commas. An empty array would mean the default: refused where that is not empty."""
    either: Schema = {"description": about, "type": ["array", "string", "null"]}
    if numbers := len(kind.get("prefixItems", ())):
        pattern = words.or_empty(r"^ *[0-9]{1,3} *" + rf"(, *[0-9]{{1,3}} *){{{numbers - 1}}}$")
        item = {"type": "integer", "minimum": 1, "maximum": 100}
        return either | {"pattern": pattern, "items": item, "minItems": numbers, "maxItems": numbers}
    # Items are joined by commas, which only the URLs of a cluster have inside.
    item = {"type": "string", "minLength": 1} if name in _WITH_PASSWORDS else _ITEM
    return either | {"items": item} | ({"minItems": 1} if Settings.model_fields[name].default else {})
