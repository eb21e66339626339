"""Which program was started: it has other names than `jobrelay` where it was installed under one, and in kubectl."""

import sys
from pathlib import PurePath

NAME = "jobrelay"
PLUGIN = f"kubectl-{NAME}"
"""What kubectl looks for on `PATH` to run `kubectl jobrelay`."""
COMPLETER = f"kubectl_complete-{NAME}"
"""What kubectl runs with the words that follow `kubectl jobrelay`, to complete the last of them."""


def program() -> str:
    """The name that a shell knows this process by."""
    name = PurePath(sys.argv[0]).name
    return NAME if not name or name.startswith("-") or name.endswith(".py") else name


def shown(name: str) -> str:
    """How people call it."""
    return f"kubectl {NAME}" if name == PLUGIN else name
