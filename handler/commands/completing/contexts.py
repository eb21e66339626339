"""The contexts of the kubeconfig that a command would read."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def contexts(kubeconfig: Path | None, environ: Mapping[str, str]) -> Iterator[str]:
    """Their names, from all files of `KUBECONFIG` that can be read, unless `kubeconfig` is given."""
    files = str(kubeconfig) if kubeconfig else environ.get("KUBECONFIG") or "~/.kube/config"
    for file in filter(None, files.split(os.pathsep)):
        with suppress(OSError, yaml.YAMLError, UnicodeDecodeError):
            document = yaml.load(Path(file).expanduser().read_bytes(), Loader=_LOADER)  # noqa: S506 - a safe one
            yield from _names(document)


def _names(document: object) -> Iterator[str]:
    listed = document.get("contexts") if isinstance(document, dict) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            yield one["name"]
