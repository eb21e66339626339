"""The two programs by which kubectl has `kubectl jobrelay`, with `--context`, `-n` and `--kubeconfig` as kubectl's."""

import sys
from typing import NoReturn

from handler.cli.completing import answer_kubectl
from handler.cli.main import cli
from handler.cli.program import PLUGIN, shown


def complete() -> NoReturn:
    """`kubectl_complete-jobrelay WORD...`: print what the last word may become."""
    answer_kubectl(cli, shown(PLUGIN), sys.argv[1:])
