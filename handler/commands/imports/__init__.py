"""`jobrelay import`: a file of schedules becomes what it says; start at `importing`."""
