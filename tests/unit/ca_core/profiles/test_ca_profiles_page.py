"""The page about the profiles is the one that their files make."""

from pathlib import Path

from ca_core.profiles import load_profiles
from ca_core.profiles.documentation import profiles_page

PAGE = Path(__file__).parents[4] / "docs" / "profiles.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == profiles_page(load_profiles()), "run scripts/profile_page.py"


def test_it_names_every_profile_and_extension() -> None:
    page = profiles_page(load_profiles())
    for name, profile in load_profiles().items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert all(f"| {extension.type} |" in section for extension in profile.extensions)
