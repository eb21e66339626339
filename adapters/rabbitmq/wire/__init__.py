"""AMQP 0.9.1 frames: deliveries, settlements, publishes and confirms pass the client library by, all else is its own.

Our part is what every event needs, and costs a third of what the library takes for it. It imports pamqp, and of the
rest of the library nothing.
"""
