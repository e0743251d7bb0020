"""Writes docs/profiles.md from the certificate profiles: run it after every change of one."""

from pathlib import Path

from ca_core.profiles import load_profiles
from ca_core.profiles.documentation import profiles_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "profiles.md"

if __name__ == "__main__":
    PAGE.write_text(profiles_page(load_profiles()), encoding="utf-8")
