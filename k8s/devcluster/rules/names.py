"""The syntax of names, labels and annotations, with Kubernetes' own error messages."""

import re

LABEL_LIMIT = 63
SUBDOMAIN_LIMIT = 253

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ENVIRONMENT = re.compile(r"[ -<>-~]+")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def dns_label(text: str) -> list[str]:
    """What is wrong with `text` as the name of a container, volume or namespace."""
    wrong = [] if len(text) <= LABEL_LIMIT else [_no_more_than(LABEL_LIMIT)]
    return wrong if _DNS_LABEL.fullmatch(text) else [*wrong, _DNS_LABEL_TEXT]


def subdomain(text: str) -> list[str]:
    """What is wrong with `text` as the name of most objects."""
    wrong = [] if len(text) <= SUBDOMAIN_LIMIT else [_no_more_than(SUBDOMAIN_LIMIT)]
    return wrong if _SUBDOMAIN.fullmatch(text) else [*wrong, _SUBDOMAIN_TEXT]


def label_value(text: str) -> list[str]:
    wrong = [] if len(text) <= LABEL_LIMIT else [_no_more_than(LABEL_LIMIT)]
    return wrong if _LABEL_VALUE.fullmatch(text) else [*wrong, _LABEL_VALUE_TEXT]


def qualified_name(text: str) -> list[str]:
    """What is wrong with `text` as the key of a label or annotation: a name, optionally after `prefix/`."""
    prefix, slash, name = text.rpartition("/")
    wrong = []
    if "/" in prefix:
        return [f"a valid label key must consist of alphanumeric characters ({_NAME_PART_TEXT})"]
    if slash and not prefix:
        wrong.append("prefix part must be non-empty")
    elif slash:
        wrong += [f"prefix part {message}" for message in subdomain(prefix)]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > LABEL_LIMIT:
        wrong.append(f"name part {_no_more_than(LABEL_LIMIT)}")
    return wrong if _QUALIFIED.fullmatch(name) else [*wrong, _NAME_PART_TEXT]


def environment_name(text: str) -> list[str]:
    if _ENVIRONMENT.fullmatch(text):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def config_key(text: str) -> list[str]:
    """What is wrong with `text` as a key of a Secret or ConfigMap."""
    if len(text) <= SUBDOMAIN_LIMIT and _CONFIG_KEY.fullmatch(text) and text not in (".", ".."):
        return []
    return [
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
        "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    ]


def _no_more_than(limit: int) -> str:
    return f"must be no more than {limit} bytes"
