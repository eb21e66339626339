"""A whole installation on this machine; start at `stack`. Only the commands `demo` and `dev` use it."""
