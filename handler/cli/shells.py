"""`jobrelay completion`: the scripts of click, and what they get where click's own answer does not fit the shell."""

import os
import re
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

_BREAK = re.compile("[:=@]+")
"""Where bash divides words beyond spaces: COMP_WORDBREAKS, as far as it is in ids, sources and options."""


# The program itself says nothing; but it may have been removed since, or the Python below it.
_QUIETLY = "%(prog_name)s 2>/dev/null"


class _Whole(ShellComplete):
    """Shells in which a value replaces the whole word, of which `--source=` may be the beginning."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        option = _option_of(incomplete)
        found = super().get_completions(args, incomplete)
        return [_within(item, option) for item in found]


class Bash(BashComplete):
    """bash: words come divided at `:`, `=` and `@`, and a value replaces only what stands after the last of these.

    The program is called as it was typed, but bash replaces `~` only in what it runs itself.
    """

    source_template = BashComplete.source_template.replace(
        "bash_complete $1)", 'bash_complete "${1/#\\~\\//$HOME/}" 2>/dev/null)'
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._typed = ""

    def source(self) -> str:
        """For bash 4.4 and newer; an older one, as macOS has it, says so when it reads this."""
        script = super().source()
        said = f"{self.prog_name}: completion needs bash 4.4 or newer, and this is $BASH_VERSION"
        return f'if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then\necho "{said}" >&2\nelse\n{script}fi\n'

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        last = words[place] if place < len(words) else ""
        *before, incomplete = _joined([*words[1:place], last])
        self._typed = _replaced(incomplete, last)
        return before, incomplete

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        option = _option_of(incomplete)
        found = super().get_completions(args, incomplete)
        return [_without(_within(item, option), incomplete.removesuffix(self._typed)) for item in found]


class Zsh(_Whole, ZshComplete):
    """zsh."""

    source_template = ZshComplete.source_template.replace("zsh_complete %(prog_name)s)", f"zsh_complete {_QUIETLY})")


class Fish(_Whole, FishComplete):
    """fish."""

    source_template = FishComplete.source_template.replace(
        "COMP_CWORD=(commandline -t) %(prog_name)s)", f"COMP_CWORD=(commandline -t) {_QUIETLY})"
    )


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def _joined(words: list[str]) -> list[str]:
    """The words as they were typed: `urn`, `:`, `1` was `urn:1`. What begins with `-` is a word of its own."""
    found: list[str] = []
    open_ = False
    for word in words:
        divider = _BREAK.fullmatch(word) is not None
        if found and ((open_ and word and not word.startswith("-")) or (divider and found[-1])):
            found[-1] += word
        else:
            found.append(word)
        open_ = divider
    return found


def _replaced(incomplete: str, last: str) -> str:
    """The part of the word that readline replaces, of which bash tells `last`: what `@` begins, it takes with that."""
    if _BREAK.fullmatch(last):
        return last if last.endswith("@") else ""
    before = incomplete.removesuffix(last)
    return f"@{last}" if before.endswith("@") else last


def _option_of(incomplete: str) -> str:
    """`--source=` of `--source=/a`."""
    name, equals, _ = incomplete.partition("=")
    return f"{name}=" if equals and name.startswith("-") else ""


def _within(item: CompletionItem[str], option: str) -> CompletionItem[str]:
    return _changed(item, f"{option}{item.value}")


def _without(item: CompletionItem[str], beginning: str) -> CompletionItem[str]:
    return _changed(item, item.value.removeprefix(beginning))


def _changed(item: CompletionItem[str], value: str) -> CompletionItem[str]:
    return CompletionItem(value, type=item.type, help=item.help) if item.type == "plain" else item


def script_of(shell: str, cli: click.Command, program: str, variable: str) -> str:
    """The script that completes the command lines of a program of this name."""
    return SHELLS[shell](cli, {}, program, variable).source()
