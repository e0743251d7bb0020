"""Private keys of authorities and responders: encrypted files, or an HSM through PKCS#11."""

from ca_core.keys.errors import KeyExists, KeyLabelRefused, KeyNotFound, KeyStoreError, KeyStoreFault
from ca_core.keys.model import (
    KeyAlgorithm,
    PrivateKey,
    PublicKey,
    key_algorithm_of,
    key_digest,
    key_identifier,
    verify_label,
)
from ca_core.keys.ports import KeyStore
from ca_core.keys.software import SoftwareKeyStore

__all__ = [
    "KeyAlgorithm",
    "KeyExists",
    "KeyLabelRefused",
    "KeyNotFound",
    "KeyStore",
    "KeyStoreError",
    "KeyStoreFault",
    "PrivateKey",
    "PublicKey",
    "SoftwareKeyStore",
    "key_algorithm_of",
    "key_digest",
    "key_identifier",
    "verify_label",
]
