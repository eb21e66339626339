"""What is said of a program that could not be run, in the words of several runtimes."""

import pytest

from events.jobs.pods import Container, Role
from events.lifecycle.failures import failure, judged
from tests.events.samples import make_container, make_pod, succeeded

RUNC = "failed to create containerd task: runc create failed: unable to start container process"


def test_a_sidecar_that_is_ended_with_its_pod_does_not_speak_for_a_success() -> None:
    proxy = make_container("proxy", role=Role.SIDECAR, started=1.0, finished=9.0, exit_code=137)
    done = succeeded(containers=[proxy])
    assert judged(done) is done.main
    assert judged(make_pod(containers=[proxy])) is proxy
    assert judged(make_pod()) is None


def refused(message: str, reason: str = "StartError") -> Container:
    return make_container(exit_code=128, reason=reason, message=message)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            f'{RUNC}: exec: "nosuchprog": executable file not found in $PATH: unknown',
            'nosuchprog: not found (exec: "nosuchprog": executable file not found in $PATH: unknown)',
        ),
        (
            f'{RUNC}: exec: "/bin/x y": stat /bin/x y: no such file or directory: unknown',
            '/bin/x y: not found (exec: "/bin/x y": stat /bin/x y: no such file or directory: unknown)',
        ),
        (f'{RUNC}: exec: "/tmp": is a directory: unknown', "/tmp: is a directory"),
        (f'{RUNC}: exec: "./run.sh": permission denied: unknown', "./run.sh: permission denied"),
        (
            "crun: executable file `nosuchprog` not found in $PATH: No such file or directory: OCI runtime attempted",
            "nosuchprog: not found in $PATH: No such file or directory: OCI runtime attempted",
        ),
        ("the runtime is out of sorts", "the runtime is out of sorts"),
        ("", ""),
    ],
)
def test_a_program_that_could_not_be_run_is_named_first_with_the_reason(message: str, told: str) -> None:
    pod = make_pod(phase="Failed", containers=[refused(message)])
    assert failure(pod).message == f"container main could not be run: {told}".rstrip()
