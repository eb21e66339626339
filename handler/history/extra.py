"""Whether the libraries of the history and its page are installed: an extra, imported only where one is opened."""

from importlib.util import find_spec

LIBRARIES = ("sqlalchemy", "aiosqlite", "alembic", "asyncpg", "jinja2", "obstore")


def missing() -> str | None:
    """What has to be installed to open a history; None for nothing."""
    if all(find_spec(name) is not None for name in LIBRARIES):
        return None
    return "the history needs the extra [console]: pip install 'jobrelay[console]'"


def require() -> None:
    """Raises `RuntimeError` when something is missing. To be called before `handler.history.sql.store` is imported."""
    if (lacking := missing()) is not None:
        raise RuntimeError(lacking)
