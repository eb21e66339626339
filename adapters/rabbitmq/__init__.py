"""The broker port on RabbitMQ over AMQP 0.9.1; start at `broker.connect`. `descriptor` is what others may know of it.

Imports no other adapter and no servers.
"""
