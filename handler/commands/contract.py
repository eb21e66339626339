"""`jobrelay schema`, `asyncapi`, `reference`: print the contract. They need no broker and no cluster."""

import sys
from typing import Any

import orjson
import yaml

from adapters.asyncapi import asyncapi, topics
from events.contract.reference import reference
from handler import version
from handler.commands.showing.output import plain


class _Dumper(yaml.SafeDumper):
    """Writes repeated values in full: YAML readers in other languages stumble over anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def show(document: dict[str, Any], form: str) -> int:
    """Print a document as JSON or YAML. Returns the exit code."""
    if form == "json":
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        text = yaml.dump(plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        sys.stdout.write(text)
    return 0


def reference_page() -> str:
    """The text of events/REFERENCE.md."""
    return reference(topics(asyncapi(version=version())))
