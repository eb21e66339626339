"""A run of a container: a local process that outlives this process, which finds it again. Linux only.

Knows no Kubernetes objects.
"""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from k8s.devcluster.kubelet.logtimes import Times

# The supervisor starts the container and writes down how it ended, with builtins of the shell only. It claims the run
# by creating the first file exclusively: whatever crashes at any time, a run starts only once. The supervisor's line
# in /proc (process id, start time) identifies it later. Once the container's first process has ended, the container
# has too: everything that is left in the group is killed, the supervisor included.
SUPERVISOR = """\
set -C
read -r __pod_stat </proc/$$/stat
echo "$__pod_stat" >"$1" || exit 0
set +C
trap : HUP INT TERM
__pod_exit=$2 __pod_begun=$3 __pod_log=$4
shift 4
(trap - HUP INT TERM; : >"$__pod_begun"; exec "$@") >>"$__pod_log" 2>&1
echo $? >"$__pod_exit"
kill -9 0
"""
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
LOST = 137
START_ERROR = 128
# What containerd and runc say around the cause.
NOT_STARTED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: {}: unknown"
)
START_PATIENCE = 1.0  # Seconds from the supervisor's start to the container's.
START_POLL = 0.005
END_POLL = 0.05
TRANSIENT = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
START_TIME = 19  # Field 22 of /proc/<pid>/stat, counted after the name.


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a run ended. `code`: 128 + signal for a signal. `reason`: Kubernetes'. `finished`: seconds since 1970."""

    code: int
    reason: str
    message: str
    finished: float


class Run:
    """Run number `number` of a container. All that is known of it is in files in `directory`."""

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self._claim = directory / f"{number}.pid"
        self._exit = directory / f"{number}.exit"
        self._begun = directory / f"{number}.begun"
        self.log = directory / f"{number}.log"
        self.times = Times(self.log)
        self.message = directory / f"{number}.message"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def claimed(self) -> bool:
        """Whether somebody has started it: it must not be started again."""
        return self._claim.exists() or self._exit.exists()

    @property
    def started(self) -> float:
        """Seconds since 1970; 0 if it never ran."""
        try:
            return self._claim.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @property
    def is_child(self) -> bool:
        """Whether this process has started it and not waited for its end yet. It may have ended."""
        return self._child is not None and self._child.returncode is None

    def start(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        """Start it. If it can never start, it ends at once, with reason StartError. OSError: it cannot start now."""
        self.message.touch()
        self.log.touch()
        program, refusal = find_program(command[0], path=env.get("PATH", ""), cwd=cwd)
        if refusal:
            self.record(START_ERROR, "StartError", NOT_STARTED.format(refusal))
            return
        # A shell drops variables whose names are no identifiers; env(1) keeps them.
        odd = [f"{name}={value}" for name, value in env.items() if not PLAIN_NAME.match(name)]
        argv = [*(["/usr/bin/env", *odd] if odd else []), program, *command[1:]]
        files = [str(self._claim), str(self._exit), str(self._begun), str(self.log)]
        try:
            self._child = subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", SUPERVISOR, "pod", *files, *argv],
                env={name: value for name, value in env.items() if PLAIN_NAME.match(name)},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # Arguments too long, a null byte.
            if isinstance(error, OSError) and error.errno in TRANSIENT:
                raise
            self.record(START_ERROR, "StartError", NOT_STARTED.format(f'exec: "{command[0]}": {_why(error)}'))

    def result(self) -> Exit | None:
        """How it ended; None until that is written down."""
        try:
            text = self._exit.read_text(errors="replace")
            finished = self._exit.stat().st_mtime
        except FileNotFoundError:
            return None
        first, newline, message = text.partition("\n")
        if not newline:  # It is being written.
            return None
        code, _, reason = first.partition(" ")
        usual = "Error" if int(code) else "Completed"
        return Exit(code=int(code), reason=reason or usual, message=message, finished=finished)

    def record(self, code: int, reason: str = "", message: str = "") -> None:
        """Write down how it ended, unless that has been done."""
        if self.result() is not None:
            return
        draft = self._exit.with_suffix(".draft")
        draft.write_text(f"{code} {reason}".strip() + "\n" + message)
        draft.replace(self._exit)

    async def wait(self) -> Exit:
        """Return once it has ended. Cancelling this leaves it running."""
        if self._child is not None:
            await _process_end(self._child.pid)
            if self.result() is None:
                _kill_group(self._child.pid)  # Before its process id can be reused.
            self._child.wait()
        if self.result() is None:
            await self._follow()
        self.record(LOST, "ContainerStatusUnknown", "the container's process is gone")
        ended = self.result()
        if ended is None:
            raise RuntimeError(f"{self._exit} was written and cannot be read")
        return ended

    async def _follow(self) -> None:
        """Wait for a supervisor that is not our child: it is an orphan, or it claimed this run before ours did."""
        identity = self._identity()
        if identity is None:
            return
        pid = identity[0]
        if _is_alive(*identity):
            await _process_end(pid)
        if self.result() is None and not os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC240 no disk
            _kill_group(pid)

    async def terminate(self) -> None:
        """SIGTERM to all its processes, after waiting for the container's own to start: else that would not get it."""
        deadline = time.monotonic() + START_PATIENCE
        while self.leader() and not self._begun.exists() and time.monotonic() < deadline:
            await asyncio.sleep(START_POLL)
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all its processes. That ends the supervisor too, so this writes the outcome down."""
        if self._signal(signal.SIGKILL):
            self.record(LOST, "Error")

    def _signal(self, number: signal.Signals) -> bool:
        pid = self.leader()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        return pid is not None

    def leader(self) -> int | None:
        """Process id of the supervisor while it runs. All processes of the container are in its session."""
        if self._child is not None:
            return self._child.pid if self._child.returncode is None else None
        identity = self._identity()
        return identity[0] if identity and _is_alive(*identity) else None

    def _identity(self) -> tuple[int, str] | None:
        try:
            return _parse_stat(self._claim.read_text())
        except (FileNotFoundError, IndexError, ValueError):
            return None


async def _process_end(pid: int) -> None:
    """Return once the process has ended. It may be anybody's child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # No descriptor left, or a sandbox without this call.
        while not _has_ended(pid):
            await asyncio.sleep(END_POLL)
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _kill_group(group: int) -> None:
    """Kill what is left if somebody has killed only the supervisor: a container must not outlive its pod."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def find_program(name: str, *, path: str, cwd: Path) -> tuple[str, str]:
    """(absolute path, "") or ("", why it cannot be executed, in a container runtime's words)."""
    where = str(cwd / name) if "/" in name else name
    found = shutil.which(where, path=path)
    if found:
        return str(Path(cwd, found).absolute()), ""
    why = "executable file not found in $PATH"
    if "/" in name:
        try:
            is_directory = stat.S_ISDIR(os.stat(where).st_mode)
        except (OSError, ValueError) as error:  # A null byte.
            why = f"stat {name}: {_why(error)}"
        else:
            why = "is a directory" if is_directory else "permission denied"
    return "", f'exec: "{name}": {why}'


def _why(error: OSError | ValueError) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()


def runs(directory: Path) -> int:
    """The number of the newest run in `directory`; 0 if there is none."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return 0
    return max((int(name.split(".")[0]) for name in names if name[0].isdigit()), default=0)


def _parse_stat(line: str) -> tuple[int, str]:
    """(process id, start time in ticks) from a line of /proc/<pid>/stat. The name in it may contain anything."""
    head, _, tail = line.rpartition(")")
    return int(head.split()[0]), tail.split()[START_TIME]


def _is_alive(pid: int, start: str) -> bool:
    line = _stat(pid)
    return line is not None and not _has_ended(pid) and _parse_stat(line) == (pid, start)


def _has_ended(pid: int) -> bool:
    """Whether there is no such process, or nothing but its exit code is left."""
    line = _stat(pid)
    return line is None or line.rpartition(")")[2].split()[0] in "ZX"


def _stat(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
