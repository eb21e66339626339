"""The operator's functions: which events become which Jobs; start at `functions`. Imports no contract."""
