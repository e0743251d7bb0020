"""Reading profile files."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from pydantic import ValidationError

from ca_core.profiles.errors import ProfileError
from ca_core.profiles.model import Profile


def load_profiles(folder: Traversable | None = None) -> Mapping[str, Profile]:
    """Every profile of the folder (the package's own by default), by name.

    Raises: ProfileError, with the faults of all files, one a line.
    """
    folder = files("ca_core.profiles") / "data" if folder is None else folder
    profiles: dict[str, Profile] = {}
    faults: list[str] = []
    for file in sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda f: f.name):
        try:
            profile = parse_profile(file.read_text("utf-8"))
        except ProfileError as error:
            faults += [f"{file.name}: {fault}" for fault in error.detail.splitlines()]
            continue
        if file.name != f"{profile.name}.toml":
            faults.append(f"{file.name}: holds the profile {profile.name}")
        profiles[profile.name] = profile
    faults += [
        f"{profile.name}.toml: derived_from: {name} is none, or derived itself"
        for profile in profiles.values()
        for name in profile.derived_from
        if name not in profiles or profiles[name].derived_from or not profiles[name].person
    ]
    if not profiles and not faults:
        faults.append("no profile at all")
    if faults:
        raise ProfileError("\n".join(faults))
    return MappingProxyType(profiles)


def parse_profile(text: str) -> Profile:
    """A profile from TOML. Raises: ProfileError."""
    try:
        return Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(str(error)) from error
    except ValidationError as error:
        raise ProfileError("\n".join(_fault(fault["loc"], fault["msg"]) for fault in error.errors())) from error


def _fault(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(part) for part in place) or 'file'}: {message}"
