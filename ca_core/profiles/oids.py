"""Object identifiers that appear in certificates. This is the one place where ours are chosen and documented.

Ours stand under PRIVATE_ARC. It is the enterprise number that RFC 5612 keeps free for examples, so it collides with
nobody's; a deployment that is assigned an arc of its own changes this one constant before its first ceremony.
(A UUID's arc under 2.25 would need no registration, but arcs above 31 bits are refused by much deployed software.)

| under PRIVATE_ARC | meaning |
|---|---|
| `.1` | certificate policies |
| `.1.1` | citizen's authentication certificate: log in, never a signature on a document |
| `.1.2` | citizen's signature certificate: documents, never a login |
| `.1.3` | citizen's encryption certificate |
| `.1.4` | derived credential, key in attested hardware: statements only |
| `.1.5` | derived credential, key in software: statements only |
| `.1.6` | signature on a phone: documents, never a login |
| `.1.7` | passkey of a citizen |
| `.1.8` | time stamps |
| `.1.9` | operators of this house |
"""

from types import MappingProxyType

PRIVATE_ARC = "1.3.6.1.4.1.32473.886"

ASSURANCE_LEVEL_3 = "2.16.886.101.0.3.3"
"""The government's certificate policy for assurance level 3: what the deployed cards carry."""
CITIZEN_AUTHENTICATION_POLICY = f"{PRIVATE_ARC}.1.1"
CITIZEN_SIGNATURE_POLICY = f"{PRIVATE_ARC}.1.2"
CITIZEN_ENCRYPTION_POLICY = f"{PRIVATE_ARC}.1.3"
DERIVED_HARDWARE_POLICY = f"{PRIVATE_ARC}.1.4"
DERIVED_SOFTWARE_POLICY = f"{PRIVATE_ARC}.1.5"
PHONE_SIGNATURE_POLICY = f"{PRIVATE_ARC}.1.6"
PASSKEY_POLICY = f"{PRIVATE_ARC}.1.7"
TIME_STAMPING_POLICY = f"{PRIVATE_ARC}.1.8"
OPERATOR_POLICY = f"{PRIVATE_ARC}.1.9"
ANY_POLICY = "2.5.29.32.0"

SUBJECT_DIRECTORY_ATTRIBUTES = "2.5.29.9"
SUBJECT_TYPE = "2.16.886.1.100.2.1"
NATURAL_PERSON = "2.16.886.1.100.3.1.1"
NATIONAL_ID_LAST4 = "2.16.886.1.100.2.51"

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"

NAMES = MappingProxyType(
    {
        "assurance-level-3": ASSURANCE_LEVEL_3,
        "citizen-authentication": CITIZEN_AUTHENTICATION_POLICY,
        "citizen-signature": CITIZEN_SIGNATURE_POLICY,
        "citizen-encryption": CITIZEN_ENCRYPTION_POLICY,
        "derived-hardware": DERIVED_HARDWARE_POLICY,
        "derived-software": DERIVED_SOFTWARE_POLICY,
        "phone-signature": PHONE_SIGNATURE_POLICY,
        "passkey": PASSKEY_POLICY,
        "operator": OPERATOR_POLICY,
        "any-policy": ANY_POLICY,
        "natural-person": NATURAL_PERSON,
        "client-auth": CLIENT_AUTH,
        "server-auth": SERVER_AUTH,
        "ocsp-signing": OCSP_SIGNING,
        "time-stamping": TIME_STAMPING,
        "time-stamping-policy": TIME_STAMPING_POLICY,
    }
)
"""How profile files name them."""
