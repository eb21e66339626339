"""The logs of pods: which are read, what of them is kept, and where."""
