"""Where people go back to once they have logged in, or chosen a theme."""


def back_to(path: str) -> str:
    """The path of a page of ours, below the base path; in place of anything else that of the first page."""
    fine = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isascii() and path.isprintable()
    return path if fine else "/"
