"""`jobrelay schema`, `asyncapi`, `reference`: the contract on standard output. Connects to nothing."""

import sys
from typing import Any

import orjson
import yaml

from adapters.asyncapi import asyncapi, topics
from events.contract.reference import reference
from handler import version
from handler.commands.showing.output import plain


class _Dumper(yaml.SafeDumper):
    """Writes what is there twice twice: readers of other languages stumble over YAML's anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def show(document: dict[str, Any], form: str) -> int:
    """Print it as JSON or YAML."""
    if form == "json":
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        text = yaml.dump(plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        sys.stdout.write(text)
    return 0


def reference_page() -> str:
    """The text of events/REFERENCE.md."""
    return reference(topics(asyncapi(version=version())))
