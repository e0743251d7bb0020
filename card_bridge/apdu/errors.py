"""Octets that are no APDU and no BER-TLV."""


class ApduError(ValueError):
    """Root of this package's errors. Messages name positions and lengths, never content."""


class MalformedApdu(ApduError):
    """The octets are no command or answer of ISO 7816-3 section 12.1."""


class MalformedTlv(ApduError):
    """The octets are no BER-TLV data objects, or break a bound."""


class EndlessAnswer(ApduError):
    """The card goes on saying that more is to come, past every bound."""
