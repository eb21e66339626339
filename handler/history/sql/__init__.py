"""The record in memory, SQLite or PostgreSQL: one code for all of them, with SQLAlchemy."""
