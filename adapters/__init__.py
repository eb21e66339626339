"""Message brokers behind one port, `base`. `connect` picks the adapter of a URL, `registry` lists all adapters.

Imports neither handler nor k8s.
"""
