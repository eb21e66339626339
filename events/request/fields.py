"""Kubernetes' grammar of names, labels and quantities as pydantic types. What is well formed, not what is allowed."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Model(BaseModel):
    """camelCase, strict types, no unknown fields; errors show no value."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )
    section: ClassVar[str] = ""
    """Heading above this class's own fields in the published table of a request's fields."""


INT32_MAX = 2**31 - 1
MAX_TEXT = 131_072
"""Characters of the longest free text: Linux starts no program with a longer variable or argument."""


@dataclass(frozen=True, slots=True)
class AtMost:
    """Of a map: its entries are counted before any of them is looked at, as pydantic itself does of lists only."""

    entries: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "maxProperties": self.entries}

    def _check(self, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > self.entries:
            raise wrong(f"must have at most {self.entries}")
        return value


def exactly_one(*names: str) -> dict[str, Any]:
    """The rule in JSON Schema that one of these properties is there, and not null."""
    return {"oneOf": [_given(name) for name in names]}


def at_least_one(*names: str) -> dict[str, Any]:
    """The rule in JSON Schema that some of these properties are there, and not null."""
    return {"anyOf": [_given(name) for name in names]}


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_DNS_SUBDOMAIN = re.compile(rf"{_DNS_LABEL.pattern}(\.{_DNS_LABEL.pattern})*", re.ASCII)
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", re.ASCII)
_LABEL_TEXT = re.compile(rf"({_LABEL_VALUE.pattern})?", re.ASCII)
_ENV_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
_QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?", re.ASCII)
_POWERS = {f"{letter}{i}": 3 * power for power, letter in enumerate("kMGTPE", 1) for i in ("", "i")} | {"Ki": 3}
_LARGEST_DIGITS = 19
"""Of the greatest quantity of Kubernetes, 2^63 - 1. Arithmetic with `1e999` is for nobody's good."""
_RESOURCE = re.compile(rf"cpu|memory|ephemeral-storage|hugepages-\S+|{_DNS_SUBDOMAIN.pattern}/{_LABEL_VALUE.pattern}")
_KEY = re.compile(rf"((?=.{{1,253}}/){_DNS_SUBDOMAIN.pattern}/)?(?=.{{1,63}}$){_LABEL_VALUE.pattern}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def wrong(message: str, allowed: str | None = None) -> PydanticCustomError:
    """A broken rule; `allowed` says what would be accepted. Neither ever holds the value: it may be a secret."""
    return PydanticCustomError("rule", "{text}", {"text": message, "allowed": allowed})


def is_dns_label(text: str) -> bool:
    """Whether it is a label by RFC 1123, as the name of a namespace has to be."""
    return len(text) <= 63 and _DNS_LABEL.fullmatch(text) is not None


def is_label_name(text: str) -> bool:
    """Whether it is the name of a Kubernetes object that can also be a label's value."""
    return len(text) <= 63 and _DNS_SUBDOMAIN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class _Matching:
    """Of a string: the pattern that all of it has. Pydantic's core compares them: a call of Python costs thrice that.

    It knows no lookahead, and its `\\s` holds fewer control characters than Python's.
    """

    pattern: str
    longest: int
    message: str
    allowed: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        shape = core_schema.str_schema(pattern=f"^(?:{self.pattern})$", max_length=self.longest)
        error = {"text": self.message, "allowed": self.allowed}
        told = core_schema.custom_error_schema(
            shape, custom_error_type="rule", custom_error_message="{text}", custom_error_context=error
        )
        return core_schema.chain_schema([handler(source), told])


def _matching(pattern: re.Pattern[str], longest: int, message: str, allowed: str) -> _Matching:
    return _Matching(pattern.pattern, longest, message, f"{allowed}, at most {longest}")


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise wrong("must not hold NUL characters")
    return value


def _no_nul_inside(value: Any) -> Any:
    if isinstance(value, str):
        _no_nul(value)
    elif isinstance(value, dict):
        _no_nul_inside([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for inner in value:
            _no_nul_inside(inner)
    return value


def _mount_path(value: str) -> str:
    """A path that Kubernetes accepts and that shows plainly what it covers."""
    parts = value.split("/")
    if not 2 <= len(value) <= 4096 or parts[0] or not all(parts[1:]) or {".", ".."}.intersection(parts):
        raise wrong("is no place for a volume", "an absolute path without empty parts, . and .., at most 4096")
    if ":" in value or _CONTROL.search(value):
        raise wrong("is no place for a volume", "no colon, no control characters")
    if value == _OURS or value.startswith((f"{_OURS}/", "/dev/", "/proc/", "/sys/")) or value in _SYSTEM:
        raise wrong("is taken", f"not in {_OURS}, /dev, /proc, /sys")
    return value


def _sub_path(value: str) -> str:
    parts = value.split("/")
    if not 1 <= len(value) <= 4096 or {"", ".", ".."}.intersection(parts) or _CONTROL.search(value):
        raise wrong("is no path in a volume", "a relative path without empty parts, . and ..")
    return value


def _key(value: str) -> str:
    """Of at most 253, `/` and 63 characters."""
    prefix, slash, name = value.rpartition("/")
    named = len(name) <= 63 and _LABEL_VALUE.fullmatch(name)
    if not named or (slash and not (len(prefix) <= 253 and _DNS_SUBDOMAIN.fullmatch(prefix))):
        raise wrong(
            "is no key", "a name of at most 63 letters, digits, and - _ . inside; before it, if need be, <domain>/"
        )
    return value


def _resource(value: str) -> str:
    if len(value) > 317 or not _RESOURCE.fullmatch(value):
        raise wrong("is no resource", "cpu, memory, ephemeral-storage, hugepages-*, or <domain>/<name>, at most 317")
    return value


def _number_as_text(value: Any) -> Any:
    # In Kubernetes a number is a quantity too: `cpu: 2`.
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _not_too_great(value: str) -> str:
    found = _QUANTITY.fullmatch(value)
    number, suffix = (found[1], found[2] or "") if found else ("0", "")
    power = int(suffix[1:]) if suffix[1:].lstrip("+-").isdigit() else _POWERS.get(suffix, 0)
    if len(number.partition(".")[0].lstrip("0")) + power > _LARGEST_DIGITS:
        raise wrong("is more than any cluster has", f"less than 1e{_LARGEST_DIGITS}")
    return value


def _like(pattern: str, longest: int | None = None, said: str | None = None) -> WithJsonSchema:
    """What JSON Schema can say about such text: clients in other languages check that much before they publish."""
    length = {"maxLength": longest} if longest else {}
    return WithJsonSchema(
        {"type": "string", **length, "pattern": f"^(?:{pattern})$", **({"$comment": said} if said else {})}
    )


_OURS = "/var/run/jobrelay"
"""Where the event is."""
_SYSTEM = ("/dev", "/proc", "/sys")
_LABEL_RULE = "a-z, 0-9 and - inside"
_INNER = r"[^\x00-\x1f\x7f-\x9f]"
_EDGE = r"[^\s\x00-\x1f\x7f-\x9f]"
_PART = r"(?!\.\.?(/|$))[^/\x00-\x1f\x7f-\x9f]+"
_MOUNT = rf"(?!({_OURS}|/dev|/proc|/sys)(/|$))(/(?!\.\.?(/|$))[^/:\x00-\x1f\x7f-\x9f]+)+"
Text = Annotated[
    str, Field(max_length=MAX_TEXT), AfterValidator(_no_nul), _like(r"[^\x00]*", MAX_TEXT, "no NUL characters")
]
Anything = Annotated[Any, AfterValidator(_no_nul_inside)]
_NO_EDGES = "no control characters, no space at either end"
_IDENTIFIER = rf"{_EDGE}({_INNER}*{_EDGE})?"
Identifier = Annotated[
    str,
    _Matching(_IDENTIFIER, 256, "is no identifier", f"1 to 256 characters, {_NO_EDGES}"),
    _like(_IDENTIFIER, 256, _NO_EDGES),
]
Image = Annotated[
    str,
    _Matching(rf"{_EDGE}+", 1024, "is no image reference", "1 to 1024 characters without spaces"),
    _like(rf"{_EDGE}+", 1024, "no spaces"),
]
Directory = Annotated[
    str,
    _Matching(rf"{_INNER}+", 4096, "is no directory", "1 to 4096 characters, no control characters"),
    _like(rf"{_INNER}+", 4096, "no control characters"),
]
Prefix = Annotated[
    str,
    _matching(_DNS_LABEL, 32, "cannot begin a Job's name", _LABEL_RULE),
    _like(_DNS_LABEL.pattern, 32, _LABEL_RULE),
]
DnsLabel = Annotated[
    str,
    _matching(_DNS_LABEL, 63, "is no name of a namespace", _LABEL_RULE),
    _like(_DNS_LABEL.pattern, 63, _LABEL_RULE),
]
FunctionName = Annotated[
    str,
    _matching(_DNS_LABEL, 32, "is no name of a function", _LABEL_RULE),
    _like(_DNS_LABEL.pattern, 32, _LABEL_RULE),
]
ObjectName = Annotated[
    str,
    _matching(_DNS_SUBDOMAIN, 253, "is no name of a Kubernetes object", "a-z, 0-9, - and . inside"),
    _like(_DNS_SUBDOMAIN.pattern, 253, "a-z, 0-9, - and . inside"),
]
LabelName = Annotated[
    str,
    _matching(_DNS_SUBDOMAIN, 63, "is no name that can stand in a label", "a-z, 0-9, - and . inside"),
    _like(_DNS_SUBDOMAIN.pattern, 63, "a-z, 0-9, - and . inside"),
]
LabelValue = Annotated[
    str,
    _matching(_LABEL_VALUE, 63, "is no value for a label", "letters, digits, and - _ . inside"),
    _like(_LABEL_VALUE.pattern, 63, "letters, digits, and - _ . inside"),
]
LabelText = Annotated[
    str,
    _matching(_LABEL_TEXT, 63, "is no value for a label", "empty, or letters, digits, and - _ . inside"),
    _like(_LABEL_TEXT.pattern, 63, "empty, or letters, digits, and - _ . inside"),
]
LabelKey = Annotated[str, AfterValidator(_key), _like(_KEY.pattern, 317, "`name` or `domain/name`")]
MountPath = Annotated[
    str, AfterValidator(_mount_path), _like(_MOUNT, 4096, f"an absolute path, not in {_OURS}, /dev, /proc, /sys")
]
SubPath = Annotated[
    str, AfterValidator(_sub_path), _like(rf"{_PART}(/{_PART})*", 4096, "a relative path without . and ..")
]
EnvName = Annotated[
    str,
    _matching(_ENV_NAME, 1024, "is no name of a variable", "printable ASCII except ="),
    _like(_ENV_NAME.pattern, 1024, "printable ASCII except ="),
]
ResourceName = Annotated[
    str,
    AfterValidator(_resource),
    _like(_RESOURCE.pattern, 317, "cpu, memory, ephemeral-storage, hugepages-*, or <domain>/<name>"),
]
Quantity = Annotated[
    str,
    BeforeValidator(_number_as_text),
    _matching(_QUANTITY, 64, "is no quantity", "such as 500m, 0.5, 2, 128Mi or 1e3; not negative"),
    AfterValidator(_not_too_great),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "minimum": 0,
            "maxLength": 64,
            "pattern": f"^(?:{_QUANTITY.pattern})$",
            "$comment": "such as 500m, 0.5, 2, 128Mi or 1e3",
        }
    ),
]
