"""`jobrelay completion`: its argument, and how to install what it prints."""

import click

from handler.cli.completing import VARIABLE
from handler.cli.program import PLUGIN, shown

SHELLS = ("bash", "zsh", "fish")
"""The keys of `handler.cli.shells.SHELLS`, which `--help` does without."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print a script that completes command lines.

    Commands and options, and their values: ids of requests, sources, services, namespaces and containers come from the
    cluster that the line means, or the history, within a second. What a shell would have to quote is left out.

    \b
    bash (4.4 or newer; macOS has 3.2), in ~/.bashrc:
      source <(jobrelay completion bash)
    or once, with the package bash-completion:
      jobrelay completion bash >~/.local/share/bash-completion/completions/jobrelay
    zsh, in ~/.zshrc:
      autoload -Uz compinit && compinit
      source <(jobrelay completion zsh)
    or once, into a directory of $fpath, before compinit runs:
      jobrelay completion zsh >"${fpath[1]}/_jobrelay"
    fish, once:
      jobrelay completion fish >~/.config/fish/completions/jobrelay.fish

    The program has to be on PATH, as `pipx install` and `uv tool install` leave it; `uvx` does not. In `kubectl
    jobrelay`, the completion of kubectl itself does all this.
    """
    from shutil import which

    from handler.cli.shells import script_of

    root = context.find_root()
    name = PLUGIN if root.info_name == shown(PLUGIN) else str(root.info_name)
    if which(name) is None:
        click.echo(f"jobrelay: no {name} on PATH: nothing is completed until there is", err=True)
    if name == PLUGIN:
        click.echo(
            "jobrelay: `kubectl completion` completes `kubectl jobrelay`; this is for kubectl-jobrelay", err=True
        )
    click.echo(script_of(shell, root.command, name, VARIABLE), nl=False)
    return 0
