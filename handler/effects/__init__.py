"""Every write that intake and controller make: Jobs, their changes, events. Decides nothing."""
