"""What can be wrong with a registration. The operator sees these, never a relying party's user."""

from ca_core.kernel.errors import DomainError


class RegistrationRefused(DomainError):
    """The registration breaks a rule. `faults` names all of them at once."""

    code = "client_registration_refused"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class ClientExists(DomainError):
    """A client of this id is registered already."""

    code = "client_exists"
