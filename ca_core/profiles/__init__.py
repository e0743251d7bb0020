"""Certificate profiles as data: one TOML file each, refused as a whole where anything in it is not understood."""

from ca_core.profiles.errors import ProfileError
from ca_core.profiles.loader import load_profiles
from ca_core.profiles.model import Profile

__all__ = ["Profile", "ProfileError", "load_profiles"]
