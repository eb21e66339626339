"""Caches of what is in the cluster, kept up to date; start at `informer.follow`. Writes nothing to the cluster."""
