"""The page of an installation on this machine: where it is, and the token that it asks for."""

from dataclasses import dataclass
from pathlib import Path

from adapters.servers.login import login_in, write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPage:
    """Whoever sees the page runs commands as this user, and others reach loopback too: so it asks who they are."""

    address: str
    token: str
    token_file: Path

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{self.address}/"

    @property
    def environ(self) -> dict[str, str]:
        """The settings of the process that serves it."""
        return {
            "JOBRELAY_UI_ADDRESS": self.address,
            "JOBRELAY_UI_AUTH": "token",
            "JOBRELAY_UI_TOKEN_FILE": str(self.token_file),
        }


def page_in(directory: Path, *, address: str) -> LocalPage:
    """A page at this `host:port`. Its token is kept in the directory, for this user alone."""
    token, file = login_in(directory, user="jobrelay").password, directory / "token"
    write_private(file, token)
    return LocalPage(address=address, token=token, token_file=file)
