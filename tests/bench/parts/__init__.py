"""The parts of the benchmark, and what each says in the table."""
