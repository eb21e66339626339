"""`python -m tests.bench`: measure jobrelay on servers of its own, with KUBECONFIG also on the cluster that it names.

NATS_URL and RABBITMQ_URL name other brokers. It fails where something cannot be measured, never for a figure: the table
shows the aims beside them. Whatever ends it early, Ctrl-C and SIGTERM too, the table of what was found is printed.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from tests.bench.bench import QUICK, Size
from tests.bench.parts.parts import PARTS
from tests.bench.report.figures import SERVERS, Figures, page, write
from tests.bench.running import Run, environs, measure, program_of


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=_parts, default=(), help=f"some parts, with commas: {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="little of everything: shows that it works")
    parser.add_argument("--docs", action="store_true", help="also put the figures into tests/BENCHMARKS.md")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="also run the jobrelay of this checkout, in its .venv"
    )
    for name in Size.__dataclass_fields__:
        usual = getattr(Size(), name)
        parser.add_argument(f"--{name}", type=type(usual), help=f"default {usual:g}")
    chosen = parser.parse_args(given)
    if chosen.docs and (chosen.only or chosen.quick):
        parser.error("--docs takes the figures of a whole run: without --only and --quick")
    return chosen


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def size_of(chosen: argparse.Namespace) -> Size:
    usual = QUICK if chosen.quick else Size()
    numbers = {name: getattr(chosen, name) or getattr(usual, name) for name in Size.__dataclass_fields__}
    return Size(**numbers)


def main(given: list[str]) -> int:
    chosen = arguments(given)
    if chosen.against:
        program_of(chosen.against)
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="jobrelay-bench-") as directory:
        ended = _measured(chosen, Path(directory), found)
    print(page(found))
    missing = [
        f"{part}, {SERVERS[server]}: {reason}"
        for server, figures in found.items()
        for part, reason in figures.missing.items()
    ]
    if missing:
        print(f"incomplete: {'; '.join(missing)}", file=sys.stderr)
    return 0 if ended and not missing else 1


def _measured(chosen: argparse.Namespace, directory: Path, found: dict[str, Figures]) -> bool:
    """One API server after the other, each with figures of its own. Returns whether all came to their ends.

    The page has those of one before the next begins: they took long.
    """
    ended = True
    for server, environ in environs(os.environ).items():
        run = Run(
            server=server,
            size=size_of(chosen),
            environ=environ,
            directory=directory / server,
            only=chosen.only,
            against=chosen.against,
        )
        found[server] = Figures()
        try:
            asyncio.run(_until_told(run, found[server]))
        except (KeyboardInterrupt, asyncio.CancelledError):
            return False
        except Exception:  # noqa: BLE001 - said here, and by the exit code
            traceback.print_exc()
            ended = False
        finally:
            if chosen.docs and found[server].rows:
                write({server: found[server]})
    return ended


async def _until_told(run: Run, figures: Figures) -> None:
    """SIGTERM ends it as Ctrl-C does: what it has started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await measure(run, figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
