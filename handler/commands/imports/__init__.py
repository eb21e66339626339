"""`jobrelay import`: makes the scheduled requests of a set as they are in a file; start at `importing`."""
