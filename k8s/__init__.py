"""All about Kubernetes: client, informer, Lease election, manifests, a development cluster. Knows no brokers."""
