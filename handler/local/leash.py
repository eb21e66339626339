"""A script that becomes a command, which gets SIGTERM when its parent dies: `leash.py <parent's pid> <command>…`."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become `command`, unless `parent` is gone already. Only Linux has such a signal: elsewhere, just become it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(f"{command[0]}: its parent {parent} is gone")
    os.execvp(command[0], command)  # noqa: S606 - what it is for


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
