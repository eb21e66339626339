"""The broker port on RabbitMQ over AMQP 0.9.1; start at `broker.connect`. Imports no other adapter and no servers."""
