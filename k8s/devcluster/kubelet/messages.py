"""Texts of a real kubelet about how containers end and wait. Reads files of runs; knows no store."""

import contextlib
import os

from k8s.devcluster.kubelet.containers import Exit, Run
from k8s.devcluster.kubelet.logs import last_lines
from k8s.devcluster.resources import Obj

MESSAGE_BYTES = 4096
TAIL_BYTES = 2048
TAIL_LINES = 80


def termination_message(container: Obj, run: Run, ended: Exit) -> str:
    """Why it could not start, and the end of what is in its file or, after a failure without that, of its log."""
    content = b""
    with contextlib.suppress(OSError), run.message.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - MESSAGE_BYTES))
        content = stream.read(MESSAGE_BYTES)
    if not content and ended.code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        with contextlib.suppress(OSError):
            content = last_lines(run.log, TAIL_LINES, limit=TAIL_BYTES)
    return ": ".join(filter(None, (ended.message, content.decode(errors="replace"))))


def back_off(seconds: float, container: str, pod: Obj) -> str:
    """Why a container waits for its next start."""
    return f"back-off {_duration(seconds)} restarting failed container={container} pod={described(pod)}"


def described(pod: Obj) -> str:
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"


def _duration(seconds: float) -> str:
    """As Go writes it: 80 is `1m20s`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:g}m{rest:g}s" if minutes else f"{rest:g}s"
