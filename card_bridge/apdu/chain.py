"""The chain between a command of any length and a card that takes short ones: one small processor a link."""

from dataclasses import dataclass, replace

from card_bridge.apdu.errors import EndlessAnswer
from card_bridge.apdu.model import SHORT_ANSWER_LIMIT, SHORT_DATA_LIMIT, CommandApdu, Ins, ResponseApdu
from card_bridge.apdu.ports import Channel, Transport

ANSWER_LIMIT = 65_536
ROUND_LIMIT = 1_024
MORE_FOLLOWS = 0x10


@dataclass(frozen=True, slots=True)
class TransportChannel:
    """The last link: octets out, octets in.

    without_le: T=0, where a command that carries data cannot ask for an answer; the card offers it with 61xx.
    """

    transport: Transport
    without_le: bool = False

    def send(self, command: CommandApdu) -> ResponseApdu:
        if self.without_le and command.data and command.ne:
            command = replace(command, ne=0)
        encoded = command.encode()
        try:
            return ResponseApdu.parse(self.transport.transmit(encoded))
        finally:
            encoded[:] = bytes(len(encoded))


@dataclass(frozen=True, slots=True)
class CommandChaining:
    """Sends data beyond 255 octets as a chain of commands, whose last one brings the answer (ISO 7816-4 s5.1.1.1)."""

    inner: Channel

    def send(self, command: CommandApdu) -> ResponseApdu:
        data, ne = command.data, min(command.ne, SHORT_ANSWER_LIMIT)
        if len(data) <= SHORT_DATA_LIMIT:
            return self.inner.send(replace(command, ne=ne, extended=False))
        starts = range(0, len(data), SHORT_DATA_LIMIT)
        for start in starts:
            last = start == starts[-1]
            answer = self.inner.send(
                replace(
                    command,
                    cla=command.cla if last else command.cla | MORE_FOLLOWS,
                    data=data[start : start + SHORT_DATA_LIMIT],
                    ne=ne if last else 0,
                    extended=False,
                )
            )
            if not last and not answer.ok:
                return answer
        return answer


@dataclass(frozen=True, slots=True)
class ResponseChaining:
    """Collects an answer that comes in parts (61xx), and repeats a command whose Le the card corrects (6Cxx)."""

    inner: Channel

    def send(self, command: CommandApdu) -> ResponseApdu:
        answer = self.inner.send(command)
        exact = answer.status.exact_length
        if exact is not None:
            answer = self.inner.send(replace(command, ne=exact))
        collected = bytearray()
        for _ in range(ROUND_LIMIT):
            collected += answer.data
            if len(collected) > ANSWER_LIMIT:
                break
            remaining = answer.status.remaining
            if remaining is None:
                return ResponseApdu(data=bytes(collected), status=answer.status)
            answer = self.inner.send(CommandApdu(ins=Ins.GET_RESPONSE, ne=remaining))
        raise EndlessAnswer(f"more than {ANSWER_LIMIT} octets or {ROUND_LIMIT} parts")


def channel_over(transport: Transport, *, t0: bool = False, extended: bool = False) -> Channel:
    """The whole chain over a card.

    extended: send long data in one extended command, for cards and readers known to take it; else in short ones.
    """
    last = TransportChannel(transport, without_le=t0)
    return ResponseChaining(last if extended else CommandChaining(last))
