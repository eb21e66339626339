"""What a word of a command line may become, from the cluster or the history. Its modules import as little as may be."""
