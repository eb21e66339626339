"""What the process tells of itself: metrics, logs, traces, probes. Changes nothing."""
