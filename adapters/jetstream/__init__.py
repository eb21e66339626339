"""The broker port on NATS JetStream; start at `broker.connect`. `descriptor` is what others may know of it.

Imports no other adapter and no servers.
"""
