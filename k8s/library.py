"""Single modules of kubernetes_asyncio, without all that its packages import: 35 MB and 0.3 s for a thousand models."""

import pkgutil
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

_LIBRARY = "kubernetes_asyncio"
_MODELS = f"{_LIBRARY}.client.models"
_lock = Lock()
_loaded: dict[str, ModuleType] = {}
"""Our packages and what was imported through them, by full name."""


def module(name: str) -> Any:
    """A module or package by its full name, such as `kubernetes_asyncio.config`.

    It is the library's own code. Only `kubernetes_asyncio`, its `client` and `client.models` are empty while it is
    imported. `sys.modules` has none of it afterwards: whoever imports the library gets all of it. Where that has
    happened already, its modules serve here too.
    """
    if _LIBRARY in sys.modules:
        return import_module(name)
    with _lock:
        if not _loaded:
            _loaded.update(_empty_packages())
        sys.modules.update(_loaded)
        try:
            return import_module(name)
        finally:
            for known in [known for known in sys.modules if known.partition(".")[0] == _LIBRARY]:
                _loaded[known] = sys.modules.pop(known)


def stand_in(name: str, **names: object) -> None:
    """Have a module of the library empty but for these names, unless it is imported already, for the whole process.

    For a process that needs others which import it, and has no time for what it imports.
    """
    with _lock:
        if not _loaded:
            _loaded.update(_empty_packages())
        instead = ModuleType(name)
        vars(instead).update(names)
        _loaded.setdefault(name, instead)


@cache
def fields_of(model: str) -> dict[str, str]:
    """Declared types of a model such as `V1PodSpec`, by JSON name of the field: `str`, `list[V1Volume]`."""
    found = getattr(module(_modules()[model.lower()]), model)
    return {json: found.openapi_types[field] for field, json in found.attribute_map.items()}


@cache
def _modules() -> dict[str, str]:
    """Where each model is: its module by its name in small letters. `V1CSIDriver` is in `v1_csi_driver`."""
    found = pkgutil.iter_modules(_empty_packages()[_MODELS].__path__)
    return {info.name.replace("_", ""): f"{_MODELS}.{info.name}" for info in found}


def _empty_packages() -> dict[str, ModuleType]:
    """Packages whose modules can be imported, in place of those that import all of them."""
    library = find_spec(_LIBRARY)
    if library is None or not library.submodule_search_locations:
        raise ModuleNotFoundError(f"{_LIBRARY} is not installed")
    packages = {}
    for name in (_LIBRARY, f"{_LIBRARY}.client", _MODELS):
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [
            str(Path(place, *name.split(".")[1:])) for place in library.submodule_search_locations
        ]
        packages[name] = module_from_spec(spec)
    # `config` names these two, for callers that give it no configuration.
    vars(packages[f"{_LIBRARY}.client"]).update(ApiClient=object, Configuration=object)
    return packages
