"""From JSON of the API server to plain data; start at `job`. No requests; imports nothing else in k8s."""
