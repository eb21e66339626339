"""Logs of containers as a kubelet keeps and serves them."""

from datetime import UTC, datetime

BEGAN = 1_700_000_000 * 10**9


def stamp(nanoseconds: int) -> bytes:
    whole, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z ".encode()


class Log:
    """A container's log as a kubelet keeps it: entries of a time and bytes. One without newline is continued."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.whole = b""
        self._clock = 0

    def write(self, at: int, text: bytes) -> None:
        self.entries.append((BEGAN + at, text))
        self.whole += text

    def say(self, *lines: str) -> None:
        """Write lines a millisecond after each other."""
        for line in lines:
            self._clock += 1_000_000
            self.write(self._clock, line.encode())

    def rotate(self) -> None:
        self.entries.clear()

    def read(self, since: float | None = None, *, stamps: bool = True) -> bytes:
        """What the API server serves."""
        answer, new_line = b"", True
        for time, text in self.entries:
            if since is None or time >= since * 10**9:
                answer += (stamp(time) if stamps and new_line else b"") + text
                new_line = text.endswith(b"\n")
        return answer
