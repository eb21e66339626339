"""What the process says about itself: metrics, logs, traces, probes. Of handler's folders it imports only settings."""
