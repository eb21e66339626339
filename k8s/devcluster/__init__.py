"""A small Kubernetes API server for development and tests, with controllers and a kubelet that runs processes.

Not a cluster to be exposed: it executes what it is told, on loopback.
"""
