"""Every write that intake and controller make: Jobs, their changes, events. Imports neither of them."""
