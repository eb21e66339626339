"""How long the Job controller waits after failures. Reads pods, changes nothing."""

from k8s.devcluster.tally import Tally, failure_time

LONGEST = 600.0


def wait_after(failures: int, *, first: float) -> float:
    """Seconds after the last of `failures` failures in a row; `first` after one."""
    return min(first * 2.0 ** min(failures - 1, 16), LONGEST) if failures else 0.0


class Backoff:
    """Per Job: failures in a row and when the last one was. Forgotten when this process ends, as in Kubernetes."""

    def __init__(self, *, first: float) -> None:
        self.first = first
        self._failures: dict[str, tuple[int, float]] = {}

    def note(self, uid: str, found: Tally) -> None:
        """Count pods that ended since the last look."""
        ended = [(failure_time(pod), False) for pod in found.failed]
        ended += [(failure_time(pod), True) for pod in found.succeeded]
        for moment, success in sorted(ended):
            count, last = self._failures.get(uid, (0, 0.0))
            self._failures[uid] = (0, 0.0) if success else (count + 1, max(last, moment))

    def remaining(self, uid: str, now: float) -> float:
        """Seconds until the next pod may be created."""
        count, last = self._failures.get(uid, (0, 0.0))
        return last + wait_after(count, first=self.first) - now if count else 0.0

    def forget(self, uid: str) -> None:
        self._failures.pop(uid, None)
