"""What can be wrong with profile files."""

from ca_core.kernel.errors import ConfigurationError


class ProfileError(ConfigurationError):
    """A profile file that is not understood. All faults at once, one a line; it stops the start."""

    code = "profile_error"
