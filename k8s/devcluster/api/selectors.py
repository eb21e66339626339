"""Label and field selectors, parsed once for a request into a test of an object's version."""

import re
from collections.abc import Callable

from k8s.devcluster.errors import bad_request
from k8s.devcluster.resources import Resource
from k8s.devcluster.rules.names import label_value, qualified_name
from k8s.devcluster.store.history import Version

Labels = dict[str, str]
Selector = Callable[[Version], bool]
_Requirement = Callable[[Labels], bool]

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^=!(),<>\s]+)")
_SYMBOLS = {"==", "!=", "=", "!", "(", ")", ",", "<", ">"}
_FIELD = re.compile(r"(?P<name>[^=!]+)(?P<operator>==|!=|=)(?P<value>.*)", re.DOTALL)


def compile_selector(kind: Resource, labels: str | None, fields: str | None) -> Selector | None:
    """None: everything is selected. ApiError 400: a selector cannot be parsed."""
    requirements = _Parser(labels).parse() if labels else []
    wanted = _fields(kind, fields) if fields else []
    if not requirements and not wanted:
        return None

    def matches(version: Version) -> bool:
        return all(requirement(version.labels) for requirement in requirements) and all(
            (_field(version, name) == value) is equal for name, value, equal in wanted
        )

    return matches


class _Parser:
    """The grammar of label selectors: comma-separated `k=v`, `k!=v`, `k in (a,b)`, `k notin (a)`, `k`, `!k`, `k>1`."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def parse(self) -> list[_Requirement]:
        requirements = []
        while self._at < len(self._tokens):
            requirements.append(self._requirement())
            symbol = self._next()
            if symbol not in (",", ""):
                raise _unparsable(symbol, "',' or 'end of string'")
            if symbol == "," and self._at == len(self._tokens):
                raise _unparsable("", "identifier after ','")
        return requirements

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        symbol = self._peek()
        self._at += 1
        return symbol

    def _identifier(self) -> str:
        symbol = self._next()
        if symbol in _SYMBOLS or not symbol:
            raise _unparsable(symbol, "identifier")
        return symbol

    def _key(self) -> str:
        key = self._identifier()
        for message in qualified_name(key):
            raise bad_request(f'unable to parse requirement: key: Invalid value: "{key}": {message}')
        return key

    def _requirement(self) -> _Requirement:
        if self._peek() == "!":
            self._next()
            absent = self._key()
            return lambda labels: absent not in labels
        key = self._key()
        if self._peek() in ("", ","):
            return lambda labels: key in labels
        operator = self._next()
        if operator in ("in", "notin"):
            values = self._set()
            inside = operator == "in"
            return lambda labels: (
                (labels[key] in values if key in labels else False) if inside else (labels.get(key) not in values)
            )
        if operator in ("=", "==", "!="):
            value, equal = self._value(key), operator != "!="
            return lambda labels: (labels.get(key) == value) is equal
        if operator in ("<", ">"):
            return _ordered(key, operator, self._value(key))
        raise _unparsable(operator, "in, notin, =, ==, !=, gt, lt")

    def _value(self, key: str) -> str:
        if self._peek() in ("", ","):
            return ""
        return _checked(key, self._identifier())

    def _set(self) -> set[str]:
        """`(a,b)`. Nothing between two commas is the empty value."""
        opening = self._next()
        if opening != "(":
            raise _unparsable(opening, "'('")
        values: set[str] = set()
        while True:
            empty = self._peek() in (",", ")")
            values.add("" if empty else _checked("values", self._identifier()))
            after = self._next()
            if after == ")":
                return values
            if after != ",":
                raise _unparsable(after, "',' or ')'")


def _unparsable(found: str, expected: str) -> Exception:
    return bad_request(f"unable to parse requirement: found '{found}', expected: {expected}")


def _checked(key: str, value: str) -> str:
    for message in label_value(value):
        raise bad_request(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {message}')
    return value


def _ordered(key: str, operator: str, text: str) -> _Requirement:
    try:
        bound = int(text)
    except ValueError as error:
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        message = f'unable to parse requirement: values[0][{key}]: Invalid value: "{text}": {why}'
        raise bad_request(message) from error

    def compare(labels: Labels) -> bool:
        try:
            value = int(labels[key])
        except (KeyError, ValueError):
            return False
        return value > bound if operator == ">" else value < bound

    return compare


def _fields(kind: Resource, text: str) -> list[tuple[str, str, bool]]:
    wanted = []
    known = {"metadata.name", "metadata.namespace"} | kind.fields({}).keys()
    for part in filter(None, re.split(r"(?<!\\),", text)):
        found = _FIELD.fullmatch(part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if found["name"] not in known:
            raise bad_request(f"field label not supported: {found['name']}")
        value = re.sub(r"\\(.)", r"\1", found["value"])
        wanted.append((found["name"], value, found["operator"] != "!="))
    return wanted


def _field(version: Version, name: str) -> str:
    if name == "metadata.name":
        return version.key[1]
    if name == "metadata.namespace":
        return version.key[0]
    return version.fields[name]
