"""Which waiting Jobs may run, as pure decisions; start at `decision.admit`. Imports no adapter, k8s module or clock."""
