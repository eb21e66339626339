"""Metrics of the history."""

from adapters.registry import BROKER_NAMES
from handler.telemetry.families import CALL, Families

LOG_STATES = ("whole", "cut", "growing", "missing")
"""What a log that was read came to."""
PRUNED = ("requests", "logs")


class HistoryMetrics(Families):
    """Whether it is recorded, how far, and what was kept and deleted."""

    def declare_history(self) -> None:
        """Once, before they are used."""
        self.subject = "The history"
        self.history_recording = self.gauge("history_recording", "1 while this process records.")
        self.history_lag = self.gauge(
            "history_lag_seconds",
            "Time since the oldest record of the broker's log that is not in the database was stored, or since nothing "
            "can be recorded; 0 if all is.",
            broker=BROKER_NAMES,
        )
        self.history_events = self.counter(
            "history_events", "Lifecycle events recorded; repeats are not counted.", broker=BROKER_NAMES
        )
        self.history_gap = self.counter(
            "history_gap",
            "Records that the broker's log has dropped before they were in the database.",
            broker=BROKER_NAMES,
        )
        self.history_unreadable = self.counter(
            "history_unreadable", "Records that cannot be read, kept as bytes.", broker=BROKER_NAMES
        )
        self.history_write_seconds = self.histogram(
            "history_write_seconds", "Time of one transaction that records events.", CALL
        )
        self.history_logs = self.counter(
            "history_logs", "Logs of containers kept, by what became of them.", state=LOG_STATES
        )
        self.history_log_failures = self.counter(
            "history_log_failures", "Attempts to read or to keep a container's log that failed."
        )
        self.history_pruned = self.counter("history_pruned", "Deleted for their age or for room.", what=PRUNED)

    def expect_history(self, broker: str) -> None:
        """Show the counters of this broker's log at 0 from the start."""
        for counter in (self.history_events, self.history_gap, self.history_unreadable):
            counter.labels(broker)
