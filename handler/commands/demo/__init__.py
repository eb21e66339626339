"""`jobrelay demo`: its requests, and what is expected of each; start at `demo`."""
