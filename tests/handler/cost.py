"""The cost of a call, without what coverage adds to it."""

import sys
import time
from collections.abc import Callable

ROUNDS, CALLS = 9, 1000


def seconds_of(call: Callable[[], object]) -> float:
    """CPU seconds of a call in this thread, the best of several rounds: other processes use the machine too."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return min(_round(call) for _ in range(ROUNDS)) / CALLS
    finally:
        sys.settrace(tracer)


def _round(call: Callable[[], object]) -> float:
    before = time.thread_time()
    for _ in range(CALLS):
        call()
    return time.thread_time() - before
