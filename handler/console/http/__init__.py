"""How the page speaks HTTP: what is asked of it, by whom, and what is wrong with that."""
