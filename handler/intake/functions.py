"""The operator's functions file, read at the start and whenever it changes. events.functions defines its contents."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import yaml

from events.functions.file import InvalidFunctions, named, parse_functions
from events.functions.functions import Function
from events.problems import FieldError
from handler.core_yaml import Loader
from handler.telemetry.metrics import Metrics
from k8s.base import Manifest
from k8s.manifests.check import dropped, problems

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 22
"""Bytes of the file. A ConfigMap holds a quarter of that."""
LOOK_SECONDS = 2.0
"""Seconds between looks at the file. It is small, and a ConfigMap's changes take a minute to arrive anyway."""


class Functions:
    """The functions in force. Without a file there are none."""

    def __init__(self, path: Path | None, *, namespaces: Sequence[str], metrics: Metrics) -> None:
        """Reads the file. Raises `InvalidFunctions`. `namespaces`: those that Jobs may be in."""
        self._path = path
        self._namespaces = tuple(namespaces)
        self._metrics = metrics
        self.current: tuple[Function, ...] = ()
        self._seen: bytes | None = None
        self._warned: set[str] = set()
        if path is not None:
            self._seen = _bytes(path)
            self._adopt(load(self._seen, self._namespaces))

    async def watch(self) -> None:
        """Adopt every change of the file, until cancelled. A broken file changes nothing but a metric and the log."""
        broken = ""
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                seen, self._seen = self._seen, None
                self._seen = await asyncio.to_thread(_bytes, self._path)
                # Compare the content: a mounted ConfigMap changes by a symlink, and file times say little.
                if self._seen == seen:
                    continue
                functions = await asyncio.to_thread(load, self._seen, self._namespaces)
            except InvalidFunctions as error:
                if str(error) != broken:
                    broken = str(error)
                    self._metrics.functions_failed.set(1)
                    logger.error("functions stay as they were, their file is broken: %s", error)
            except Exception:
                # The process runs on with the earlier functions, whatever is wrong with the file.
                self._metrics.functions_failed.set(1)
                logger.exception("functions stay as they were, reading their file failed on our side")
            else:
                broken = ""
                self._adopt(functions)

    def _adopt(self, functions: tuple[Function, ...]) -> None:
        self.current = functions
        self._metrics.functions.set(len(functions))
        self._metrics.functions_failed.set(0)
        warnings = unused(functions)
        for line in warnings:
            if line not in self._warned:
                logger.warning("%s", line)
        self._warned = set(warnings)
        logger.info("functions: %s", ", ".join(function.name for function in functions) or "none")


def read(path: Path, namespaces: Sequence[str]) -> tuple[Function, ...]:
    """The functions in this file. Raises `InvalidFunctions` with every mistake. No namespaces: Jobs may be in any."""
    return load(_bytes(path), namespaces)


def load(content: bytes, namespaces: Sequence[str]) -> tuple[Function, ...]:
    """The functions in the content of a file; in all else like `read`."""
    try:
        document = yaml.load(content, Loader=Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidFunctions([FieldError("", f"is no YAML: {' '.join(str(error).split())}")]) from error
    return parse_functions(document, judge=partial(_errors, namespaces=namespaces))


def unused(functions: Iterable[Function]) -> list[str]:
    """Warnings: a line for everything that manifests say and Jobs do not get."""
    return [f"{named(function.name)}: {error}" for function in functions for error in dropped(function.job, ("job",))]


def _errors(job: Manifest, namespaces: Sequence[str]) -> list[FieldError]:
    errors = problems(job, ("job",))
    metadata = job.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    if namespaces and namespace not in (None, *namespaces):
        errors.append(FieldError("job.metadata.namespace", "is not one of JOBRELAY_NAMESPACES", ", ".join(namespaces)))
    return errors


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidFunctions([FieldError("", f"{path}: {error.strerror or error}")]) from error
    if len(content) > MAX_BYTES:
        raise InvalidFunctions([FieldError("", f"{path}: is more than {MAX_BYTES} bytes")])
    return content
