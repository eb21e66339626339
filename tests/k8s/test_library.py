"""Single modules of kubernetes_asyncio: they say what the whole says, and the whole stays what it is."""

import subprocess
import sys

from tests.paths import ROOT

CODE = """
import sys
from k8s.library import _modules, fields_of, module

def reach(model, found):
    if model not in found:
        found[model] = fields_of(model)
        for declared in found[model].values():
            inner = declared.removeprefix("list[").removeprefix("dict(str, ").strip("])")
            if inner[:1].isupper():
                reach(inner, found)
    return found

config = module("kubernetes_asyncio.config")
assert "urllib3" not in sys.modules
found = reach("V1Job", {})
assert "V1ISCSIVolumeSource" in found
assert not [name for name in sys.modules if name.startswith("kubernetes_asyncio")]
assert module("kubernetes_asyncio.config") is config

import kubernetes_asyncio
from kubernetes_asyncio.client import models
for model, fields in found.items():
    whole = getattr(models, model)
    assert fields == {json: whole.openapi_types[name] for name, json in whole.attribute_map.items()}, model
assert {name.lower() for name in vars(models) if name[0].isupper()} <= _modules().keys()
assert module("kubernetes_asyncio.config") is kubernetes_asyncio.config is not config
"""


def test_parts_say_what_the_whole_says_and_do_not_stand_in_its_way() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, cwd=ROOT)
