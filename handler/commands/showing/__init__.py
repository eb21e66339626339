"""How lifecycle events and what is in the cluster are shown to people; start at `show`."""
