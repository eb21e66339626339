"""`python -m tests.docs`, which `make docs` calls: writes every generated part of the documents."""

from tests.docs.generated import write

if __name__ == "__main__":
    write()
