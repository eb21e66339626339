"""Who may run, decided purely; start at `decision.admit`. Imports no adapter, nothing of k8s, no clock."""
