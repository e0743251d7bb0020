"""What a caller's origin, nonce or certificate can get wrong."""

from card_bridge.errors import BridgeError


class OriginMalformed(BridgeError):
    """Not the serialisation of a web origin that a card may sign for."""

    code = "origin_malformed"


class NonceMalformed(BridgeError):
    """Not 44 to 128 characters of standard base64."""

    code = "nonce_malformed"


class KeyUnsupported(BridgeError):
    """The certificate's key is of a kind that no Web eID algorithm of ours names."""

    code = "key_unsupported"
