"""What registration refuses. No detail ever holds a national ID, not even a malformed one."""

from ca_core.kernel.errors import DomainError


class RegistrationError(DomainError):
    code = "registration_error"


class NationalIdMalformed(RegistrationError):
    """Neither a national ID nor a resident number: length, letters, digits or check digit."""

    code = "national_id_malformed"


class PersonMalformed(RegistrationError):
    """A name, birthdate, e-mail address or telephone number that cannot be one. The detail names the field."""

    code = "person_malformed"


class PersonExists(RegistrationError):
    """Somebody is registered under that national ID already."""

    code = "person_exists"


class PersonNotFound(RegistrationError):
    """Nobody has that person_id."""

    code = "person_not_found"


class NationalIdUnreadable(RegistrationError):
    """A stored national ID does not decrypt: its key is not configured, or the row was tampered with."""

    code = "national_id_unreadable"
