"""What is said of a program that could not be run, in the words of several runtimes."""

import pytest

from events.jobs.pods import Container
from events.lifecycle.failures import failure
from tests.events.samples import make_container, make_pod

RUNC = "failed to create containerd task: runc create failed: unable to start container process"


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
