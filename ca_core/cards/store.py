"""The table of cards."""

from datetime import datetime

from sqlalchemy import Column, Index, String, Table, bindparam, insert, select, update

from ca_core.cards.model import Card, CardState
from ca_core.kernel.database import Row, Statement, Transaction, UtcTime
from ca_core.schema import metadata

cards = Table(
    "cards",
    metadata,
    Column("card_number", String(16), primary_key=True),
    Column("person_id", String(22), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("issued_at", UtcTime, nullable=True),
    Column("changed_at", UtcTime, nullable=False),
    Column("settled_at", UtcTime, nullable=True),
)
Index(
    "ix_cards_unsettled",
    cards.c.started_at,
    sqlite_where=cards.c.settled_at.is_(None),
    postgresql_where=cards.c.settled_at.is_(None),
)

_CARD = (cards.c.card_number, cards.c.person_id, cards.c.state, cards.c.started_at, cards.c.issued_at)
_ADD = Statement(insert(cards).values({column.name: bindparam(column.name) for column in cards.columns}))
_FIND = Statement(select(*_CARD).where(cards.c.card_number == bindparam("card_number")))
_BY_PERSON = Statement(
    select(*_CARD).where(cards.c.person_id == bindparam("person_id")).order_by(cards.c.started_at, cards.c.card_number)
)
_CHANGE = Statement(
    update(cards)
    .where(cards.c.card_number == bindparam("of_card"), cards.c.state == bindparam("present"))
    .values(state=bindparam("wanted"), changed_at=bindparam("now"))
)
_ISSUE = Statement(
    update(cards)
    .where(cards.c.card_number == bindparam("of_card"), cards.c.state == bindparam("present"))
    .values(
        state=bindparam("wanted"), changed_at=bindparam("now"), issued_at=bindparam("now"), settled_at=bindparam("now")
    )
)
_SETTLE = Statement(
    update(cards)
    .where(cards.c.card_number == bindparam("of_card"), cards.c.settled_at.is_(None))
    .values(settled_at=bindparam("now"))
)
_UNSETTLED = Statement(
    select(*_CARD)
    .where(cards.c.settled_at.is_(None), cards.c.started_at < bindparam("before"))
    .order_by(cards.c.started_at)
    .limit(bindparam("at_most"))
)


class CardStore:
    """Cards. Every method runs in the caller's transaction.

    settled_at: when it became certain that no certificate of the card will turn up that nobody expects: with its
    issuance, or, for a card that failed, when all that had been issued was revoked and no issuance was open.
    """

    def add(self, tx: Transaction, card: Card) -> None:
        """Raises: Conflict, for a number that is taken."""
        tx.execute(
            _ADD,
            card_number=card.card_number,
            person_id=card.person_id,
            state=card.state.value,
            started_at=card.started_at,
            issued_at=card.issued_at,
            changed_at=card.started_at,
            settled_at=None,
        )

    def find(self, tx: Transaction, card_number: str) -> Card | None:
        row = tx.one_or_none(_FIND, card_number=card_number)
        return None if row is None else _card(row)

    def by_person(self, tx: Transaction, person_id: str) -> list[Card]:
        """Those of one person, oldest first."""
        return [_card(row) for row in tx.all(_BY_PERSON, person_id=person_id)]

    def change(self, tx: Transaction, card_number: str, present: CardState, wanted: CardState, now: datetime) -> bool:
        """Brings the card from one state into another; False where it is not in that state (any more)."""
        statement = _ISSUE if wanted is CardState.ISSUED else _CHANGE
        return tx.execute(statement, of_card=card_number, present=present.value, wanted=wanted.value, now=now) == 1

    def settle(self, tx: Transaction, card_number: str, now: datetime) -> None:
        """Notes that a failed card is over and done with."""
        tx.execute(_SETTLE, of_card=card_number, now=now)

    def unsettled(self, tx: Transaction, *, before: datetime, at_most: int) -> list[Card]:
        """Cards begun before a moment that are neither issued nor settled, oldest first."""
        return [_card(row) for row in tx.all(_UNSETTLED, before=before, at_most=at_most)]


def _card(row: Row) -> Card:
    card_number, person_id, state, started_at, issued_at = row
    return Card(
        card_number=card_number,
        person_id=person_id,
        state=CardState(state),
        started_at=started_at,
        issued_at=issued_at,
    )
