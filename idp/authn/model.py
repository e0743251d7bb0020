"""What any way of authenticating ends in: the `Authentication` that a session starts from."""

from idp.sessions.model import Authentication

__all__ = ["Authentication"]
