"""Ways of authenticating: evidence in, `Authentication` out; and the login page that offers them."""

from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
