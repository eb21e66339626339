"""`jobrelay history`: what the record of what happened holds, and what operators do with it; start at `listing`."""
