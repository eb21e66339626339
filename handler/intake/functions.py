"""The operator's functions file: read at the start, and again whenever it changes. What functions are is in events."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import yaml

from events.functions.functions import Function, InvalidFunctions, parse_functions
from events.problems import FieldError
from handler.core_yaml import Loader
from handler.telemetry.metrics import Metrics
from k8s.manifests.check import problems

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Time between looks at the file. It is small, and a ConfigMap's changes take a minute to arrive anyway."""


class Functions:
    """The functions in force. Without a file there are none."""

    def __init__(self, path: Path | None, *, namespaces: Sequence[str], metrics: Metrics) -> None:
        """Reads the file. Raises `InvalidFunctions`. `namespaces` are those that Jobs may be in."""
        self._path = path
        self._namespaces = tuple(namespaces)
        self._metrics = metrics
        self.current: tuple[Function, ...] = ()
        self._seen: bytes | None = None
        if path is not None:
            self._seen = _bytes(path)
            self._take(load(self._seen, self._namespaces))

    async def watch(self) -> None:
        """Take every change of the file, until cancelled. A file that is broken changes nothing but log and metric."""
        broken = ""
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                seen, self._seen = self._seen, None
                self._seen = await asyncio.to_thread(_bytes, self._path)
                # By content: a ConfigMap changes by a link to another directory, with times that say little.
                if self._seen == seen:
                    continue
                functions = await asyncio.to_thread(load, self._seen, self._namespaces)
            except InvalidFunctions as error:
                if str(error) != broken:
                    broken = str(error)
                    self._metrics.functions_failed.set(1)
                    logger.error("functions stay as they were, their file is broken: %s", error)
            except Exception:
                # No file ends the process that ran on an earlier one.
                self._metrics.functions_failed.set(1)
                logger.exception("functions stay as they were, reading their file failed on our side")
            else:
                broken = ""
                self._take(functions)

    def _take(self, functions: tuple[Function, ...]) -> None:
        self.current = functions
        self._metrics.functions.set(len(functions))
        self._metrics.functions_failed.set(0)
        logger.info("functions: %s", ", ".join(one.name for one in functions) or "none")


def read(path: Path, namespaces: Sequence[str]) -> tuple[Function, ...]:
    """The functions in this file. Raises `InvalidFunctions` with every mistake. No namespaces: any will do."""
    return load(_bytes(path), namespaces)


def load(content: bytes, namespaces: Sequence[str]) -> tuple[Function, ...]:
    """The same from what stands in the file."""
    try:
        document = yaml.load(content, Loader=Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidFunctions([FieldError("", f"is no YAML: {' '.join(str(error).split())}")]) from error
    functions = parse_functions(document)
    errors = [error for place, one in enumerate(functions) for error in _judge(one, place, namespaces)]
    if errors:
        raise InvalidFunctions(errors)
    return functions


def _judge(function: Function, place: int, namespaces: Sequence[str]) -> list[FieldError]:
    errors = problems(function.job, ("functions", place, "job"))
    if not errors and namespaces and function.namespace not in (None, *namespaces):
        path = f"functions[{place}].job.metadata.namespace"
        errors.append(FieldError(path, "is not one of JOBRELAY_NAMESPACES", ", ".join(namespaces)))
    return errors


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidFunctions([FieldError("", f"{path}: {error.strerror or error}")]) from error
