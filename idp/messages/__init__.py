"""What people read on the provider's pages, in both languages."""

from pathlib import Path

FOLDER = Path(__file__).parent
