"""`python -m tests.bench`: measure jobrelay on servers of its own, with KUBECONFIG also on the cluster that it names.

NATS_URL and RABBITMQ_URL name other brokers. It fails where something cannot be measured, never for a figure: the table
shows the aims beside them.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.bench import QUICK, Size
from tests.bench.parts.parts import PARTS
from tests.bench.report.figures import SERVERS, page, write
from tests.bench.running import measured, program_of


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
    with tempfile.TemporaryDirectory(prefix="jobrelay-bench-") as directory:
        run = measured(size_of(chosen), os.environ, directory=Path(directory), only=chosen.only, against=chosen.against)
        found = asyncio.run(run)
    print(page(found))
    if chosen.docs:
        write(found)
    failed = [f"{part}, {SERVERS[server]}" for server, figures in found.items() for part in figures.failed]
    if failed:
        print(f"incomplete: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
