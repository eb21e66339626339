"""From the API server's JSON to plain data; start at `job`. Sends nothing; imports only `k8s.base` and `k8s.kueue`."""
