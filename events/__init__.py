"""What is said: CloudEvents, requests, control events and lifecycle events. Pure: no I/O, no clock."""
