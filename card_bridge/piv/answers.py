"""From a card's answer to a value or an error."""

from card_bridge.apdu import status
from card_bridge.apdu.errors import ApduError
from card_bridge.apdu.model import SHORT_ANSWER_LIMIT, SHORT_DATA_LIMIT, CommandApdu, Ins, ResponseApdu
from card_bridge.apdu.ports import Channel
from card_bridge.apdu.status import StatusWord
from card_bridge.piv.errors import CardError, CardFault, CardNotPersonalised, PinBlocked, PinRequired

_NO_SUCH_KEY = {status.REFERENCE_NOT_FOUND, status.NOT_FOUND, status.INCORRECT_P1_P2}


def command(instruction: Ins, p1: int, p2: int, data: bytes) -> CommandApdu:
    """A command that wants all of the answer, extended only if its data needs that."""
    return CommandApdu(
        ins=instruction, p1=p1, p2=p2, data=data, ne=SHORT_ANSWER_LIMIT, extended=len(data) > SHORT_DATA_LIMIT
    )


def send(channel: Channel, step: str, request: CommandApdu) -> ResponseApdu:
    """The answer. Raises: CardFault for octets that are none, besides what the transport raises."""
    try:
        return channel.send(request)
    except ApduError as error:
        raise CardFault(f"{step}: {error}") from error


def fault(step: str, word: StatusWord) -> CardError:
    """What nobody expected here, in words for a log."""
    return CardFault(f"{step}: {word} {word.meaning}")


def key_refusal(step: str, word: StatusWord) -> CardError:
    """Why a private key was not used."""
    if word == status.SECURITY_STATUS_NOT_SATISFIED:
        return PinRequired(step)
    if word == status.AUTHENTICATION_BLOCKED:
        return PinBlocked(step)
    if word in _NO_SUCH_KEY:
        return CardNotPersonalised(f"{step}: no such key ({word})")
    return fault(step, word)
