"""`python -m k8s.devcluster --directory D`: one development cluster until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from k8s.devcluster import loops
from k8s.devcluster.server import ServerOptions, serve

CRON_MINUTE = (
    "for tests: in which a minute passes for CronJobs. Their clock then runs ahead of all others, ever since this "
    "directory was first used; scheduled times (Jobs' names and annotations, lastScheduleTime) and starting deadlines "
    "are by that clock. Keep to one value for a directory"
)


def _arguments() -> argparse.Namespace:
    defaults, running = ServerOptions(), loops.Options()
    parser = argparse.ArgumentParser(prog="python -m k8s.devcluster", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where the cluster keeps everything")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0: the one it had before, else a free one")
    parser.add_argument("--backoff", type=float, default=running.backoff, help="first delay of a pod's retry, seconds")
    parser.add_argument("--gpus", type=int, default=running.gpus, help="nvidia.com/gpu the node claims to have")
    parser.add_argument("--cron-minute", type=float, default=running.cron_minute, metavar="SECONDS", help=CRON_MINUTE)
    parser.add_argument("--history", type=int, default=defaults.history, help="changes kept per kind for watches")
    parser.add_argument("--history-age", type=float, default=defaults.history_age, help="seconds they are kept")
    parser.add_argument("--bookmark-interval", type=float, default=defaults.bookmark_interval, help="seconds")
    parser.add_argument("--no-metrics", action="store_true", help="do not serve metrics.k8s.io")
    parser.add_argument("--audit", type=Path, help="file that every request is noted in, as audit.k8s.io/v1")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    options = ServerOptions(
        history=arguments.history,
        history_age=arguments.history_age,
        bookmark_interval=arguments.bookmark_interval,
        metrics=not arguments.no_metrics,
        running=loops.Options(backoff=arguments.backoff, gpus=arguments.gpus, cron_minute=arguments.cron_minute),
        audit=arguments.audit,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(arguments.directory, host=arguments.host, port=arguments.port, options=options) as cluster:
        sys.stdout.write(f"kubeconfig: {cluster.kubeconfig}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> int:
    arguments = _arguments()
    if find_spec("trustme") is None:
        sys.stderr.write("the development cluster needs the extra [local]: pip install 'jobrelay[local]'\n")
        return 2
    # Ten thousand Jobs are a million dicts that stay: to scan them all at the usual rate would cause pauses.
    gc.set_threshold(50_000, 20, 50)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_run(arguments))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
