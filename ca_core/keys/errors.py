"""What a key store can refuse, and what can be wrong with it."""

from ca_core.kernel.errors import DomainError


class KeyStoreError(DomainError):
    code = "key_store_error"


class KeyExists(KeyStoreError):
    """A key has that label already; a key is never replaced."""

    code = "key_exists"


class KeyNotFound(KeyStoreError):
    """No key has that label."""

    code = "key_not_found"


class KeyLabelRefused(KeyStoreError):
    """A label outside the grammar of `verify_label`."""

    code = "key_label_refused"


class KeyStoreFault(KeyStoreError):
    """A key that is there and must not be used: unreadable, wrong passphrase, open to others, or not what it says."""

    code = "key_store_fault"


class KeyAlgorithmRefused(KeyStoreError):
    """A key of an algorithm, curve or size that nothing here makes or certifies."""

    code = "key_algorithm_refused"
