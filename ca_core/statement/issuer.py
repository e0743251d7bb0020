"""Making statements."""

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from joserfc import jws

from ca_core.kernel.clock import Clock
from ca_core.kernel.rng import Rng, random_token
from ca_core.statement.errors import StatementMalformed
from ca_core.statement.keys import StatementKeys, jose_signing_key
from ca_core.statement.model import (
    LIFETIMES_S,
    MAX_COMPACT_BYTES,
    Document,
    Flow,
    LocalText,
    Statement,
    verify_issuer,
)
from ca_core.statement.signed import SignedStatement
from ca_core.statement.wire import ALG, TYP, payload_octets

_REGISTRY: Final = jws.JWSRegistry(algorithms=[ALG])


class StatementIssuer:
    """Signs statements in the name of one provider with its one current statement key, which signs nothing else."""

    def __init__(self, signing_key: EllipticCurvePrivateKey, kid: str, *, issuer: str, clock: Clock, rng: Rng) -> None:
        """signing_key: P-256, software or HSM. Raises: ConfigurationError, StatementMalformed."""
        verify_issuer(issuer)
        self._key = jose_signing_key(signing_key, kid)
        self._kid = kid
        self._issuer = issuer
        self._clock = clock
        self._rng = rng
        self.keys = StatementKeys({kid: signing_key.public_key()})

    def issue(
        self,
        *,
        flow: Flow,
        origin: str,
        client_id: str,
        client_name: LocalText,
        purpose: LocalText,
        acr: str,
        claims: Sequence[str],
        documents: Sequence[Document] = (),
        cnf: str | None = None,
        lifetime_s: int | None = None,
    ) -> SignedStatement:
        """A statement that is valid from now, for the flow's own time unless a shorter or longer one is asked for.

        Raises: StatementMalformed, where the members break the grammar or do not fit into 4,096 octets.
        """
        iat = int(self._clock().timestamp())
        statement = Statement(
            iss=self._issuer,
            iat=iat,
            exp=iat + (LIFETIMES_S[flow] if lifetime_s is None else lifetime_s),
            nonce=random_token(self._rng),
            flow=flow,
            origin=origin,
            client_id=client_id,
            client_name=client_name,
            purpose=purpose,
            acr=acr,
            claims=tuple(claims),
            documents=tuple(documents),
            cnf=cnf,
        )
        header = {"alg": ALG, "typ": TYP, "kid": self._kid}
        compact = jws.serialize_compact(header, payload_octets(statement), self._key, registry=_REGISTRY)
        if len(compact) > MAX_COMPACT_BYTES:
            raise StatementMalformed("too long")
        return SignedStatement(compact=compact, statement=statement)
