"""Following Jobs: how soon their ends are told, and with how many that is still so."""
