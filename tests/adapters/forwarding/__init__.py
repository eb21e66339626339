"""Claims of adapters/FORWARDING.md. Its blocks are run as they stand there."""
