"""jobrelay itself: the event→Job→event path, its settings, its processes and its command line."""
