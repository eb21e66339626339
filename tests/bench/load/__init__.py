"""Tools of the measurements: events, clients, feeds, processes, and when something is done."""
