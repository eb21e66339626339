"""`python -m tests.docs`, which `make docs` calls: writes everything in the documents that is generated."""

from tests.docs.generated import write

if __name__ == "__main__":
    write()
