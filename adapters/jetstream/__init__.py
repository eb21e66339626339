"""The broker port on NATS JetStream; start at `broker.connect`. Imports no other adapter and no servers."""
