"""What a container of a pod is doing, as the API tells it. Pure."""

from dataclasses import dataclass, field

from k8s.devcluster.kubelet.containers import LOST, Exit
from k8s.devcluster.resources import Obj
from k8s.devcluster.times import rfc3339

NOT_LOCATED = "The container could not be located when the pod was terminated"


@dataclass(slots=True)
class ContainerStatus:
    """At first it is waiting."""

    name: str
    image: str
    state: Obj = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Obj = field(default_factory=dict)  # How the run before ended.
    restarts: int = 0
    identifier: str = ""  # Of its last run.
    init: bool = False
    sidecar: bool = False  # An init container that runs as long as the others do.
    _earlier: Obj = field(default_factory=dict, init=False)  # `last` before `restart`.
    _restarting: bool = field(default=False, init=False)

    @classmethod
    def of(cls, spec: Obj, *, init: bool) -> "ContainerStatus":
        sidecar = init and spec.get("restartPolicy") == "Always"
        return cls(name=spec["name"], image=spec["image"], init=init, sidecar=sidecar)

    def wait(self, reason: str, message: str = "") -> None:
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self, started: float) -> None:
        self._restarting = False
        self.state = {"running": {"startedAt": rfc3339(started)}}

    def end(self, ended: Exit, *, started: float, message: str) -> None:
        """`started`: seconds since 1970; 0 if it could not be started, as in a real cluster."""
        self.state = {"terminated": terminated(ended, started=started, message=message, identifier=self.identifier)}

    def restart(self) -> None:
        """It has ended, and will run again."""
        self._earlier, self.last, self._restarting = self.last, self.state, True

    def settle(self) -> None:
        """The pod has ended: a container that was to run again shows how it ended."""
        if self._restarting:
            self.state, self.last, self._restarting = self.last, self._earlier, False

    def lose(self) -> None:
        """The pod has ended, and this container never ran."""
        self.state = {
            "terminated": {
                "exitCode": LOST,
                "reason": "ContainerStatusUnknown",
                "message": NOT_LOCATED,
                "startedAt": None,
                "finishedAt": None,
            }
        }

    @property
    def is_running(self) -> bool:
        return "running" in self.state

    @property
    def has_never_run(self) -> bool:
        return "waiting" in self.state and not self.last

    @property
    def is_done(self) -> bool:
        """Of an init container: whether the next may start."""
        return not self.has_never_run if self.sidecar else self.exit_code == 0

    @property
    def exit_code(self) -> int | None:
        """None while it has not ended."""
        return _code(self.state)

    @property
    def last_code(self) -> int | None:
        """Of its last run that has ended. None: there is none."""
        code = self.exit_code
        return _code(self.last) if code is None else code

    def to_api(self, *, limit: int) -> Obj:
        """`limit`: bytes of each message."""
        status: Obj = {
            "name": self.name,
            "state": _limited(self.state, limit),
            "lastState": _limited(self.last, limit),
            "ready": self.exit_code == 0 if self.init and not self.sidecar else self.is_running,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": "",
            "started": self.is_running,
        }
        if self.identifier:
            status["containerID"] = self.identifier
        return status


def terminated(ended: Exit, *, started: float, message: str, identifier: str) -> Obj:
    return {
        "exitCode": ended.code,
        "reason": ended.reason,
        **({"message": message} if message else {}),
        "startedAt": rfc3339(started),
        "finishedAt": rfc3339(ended.finished),
        "containerID": identifier,
    }


def _code(state: Obj) -> int | None:
    code = state.get("terminated", {}).get("exitCode")
    return None if code is None else int(code)


def _limited(state: Obj, limit: int) -> Obj:
    return {
        name: what | {"message": what["message"].encode()[:limit].decode(errors="ignore")}
        if "message" in what
        else what
        for name, what in state.items()
    }
