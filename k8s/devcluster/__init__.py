"""A small Kubernetes API server for development and tests, with controllers and a kubelet that runs processes.

Loopback only, never to be exposed: it executes what it is told. Of k8s, it imports only `reading.quantity`.
"""
