"""The table of clients."""

import json

from sqlalchemy import Column, LargeBinary, String, Table, Text, bindparam, insert, select

from ca_core.kernel.database import Row, Statement, Transaction, UtcTime
from ca_core.statement.model import LocalText
from idp.clients.model import ApplicationType, Client, TokenEndpointAuthMethod
from idp.oauth.algorithms import SigningAlgorithm
from idp.schema import metadata

client = Table(
    "client",
    metadata,
    Column("client_id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("application_type", String(16), nullable=False),
    Column("redirect_uris", Text, nullable=False),
    Column("post_logout_redirect_uris", Text, nullable=False),
    Column("token_endpoint_auth_method", String(32), nullable=False),
    Column("secret_hash", LargeBinary(32), nullable=True),
    Column("scopes", Text, nullable=False),
    Column("sector_identifier", String(255), nullable=False),
    Column("id_token_signed_response_alg", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

_T = client.c
_COLUMNS = (
    _T.client_id,
    _T.name,
    _T.purpose,
    _T.application_type,
    _T.redirect_uris,
    _T.post_logout_redirect_uris,
    _T.token_endpoint_auth_method,
    _T.secret_hash,
    _T.scopes,
    _T.sector_identifier,
    _T.id_token_signed_response_alg,
    _T.created_at,
)
INSERT = Statement(insert(client).values({c.name: bindparam(c.name) for c in _COLUMNS}))
BY_ID = Statement(select(*_COLUMNS).where(_T.client_id == bindparam("client_id")))
ALL = Statement(select(*_COLUMNS).order_by(_T.client_id))


class ClientStore:
    """Clients by their id. URIs are kept separated by newlines, which no URI holds; texts as JSON."""

    def add(self, tx: Transaction, new: Client) -> None:
        """Raises: Conflict where the id is taken."""
        tx.execute(
            INSERT,
            client_id=new.client_id,
            name=json.dumps(new.name.to_wire(), ensure_ascii=False),
            purpose=json.dumps(new.purpose.to_wire(), ensure_ascii=False),
            application_type=new.application_type.value,
            redirect_uris="\n".join(new.redirect_uris),
            post_logout_redirect_uris="\n".join(new.post_logout_redirect_uris),
            token_endpoint_auth_method=new.token_endpoint_auth_method.value,
            secret_hash=new.secret_hash,
            scopes=" ".join(new.scopes),
            sector_identifier=new.sector_identifier,
            id_token_signed_response_alg=new.id_token_signed_response_alg.value,
            created_at=new.created_at,
        )

    def by_id(self, tx: Transaction, client_id: str) -> Client | None:
        row = tx.one_or_none(BY_ID, client_id=client_id)
        return None if row is None else _client(row)

    def all(self, tx: Transaction) -> list[Client]:
        return [_client(row) for row in tx.all(ALL)]


def _client(row: Row) -> Client:
    return Client(
        client_id=row[0],
        name=_local_text(row[1]),
        purpose=_local_text(row[2]),
        application_type=ApplicationType(row[3]),
        redirect_uris=tuple(row[4].split("\n")),
        post_logout_redirect_uris=tuple(row[5].split("\n")) if row[5] else (),
        token_endpoint_auth_method=TokenEndpointAuthMethod(row[6]),
        secret_hash=row[7],
        scopes=tuple(row[8].split()),
        sector_identifier=row[9],
        id_token_signed_response_alg=SigningAlgorithm(row[10]),
        created_at=row[11],
    )


def _local_text(stored: str) -> LocalText:
    members = json.loads(stored)
    return LocalText(zh_tw=members["zh-TW"], en=members["en"])
