"""How a command ends without being carried out."""

from card_bridge.apdu.status import StatusWord


class Refused(Exception):
    """The card answers this status word and nothing else."""

    def __init__(self, status: StatusWord) -> None:
        super().__init__(str(status))
        self.status = status
