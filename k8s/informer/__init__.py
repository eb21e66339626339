"""What is in the cluster, kept up to date in memory; start at `informer.follow`. Writes nothing."""
