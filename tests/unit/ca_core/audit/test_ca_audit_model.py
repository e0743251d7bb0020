from datetime import UTC, datetime, timedelta

import pytest

from ca_core.audit.errors import EventRefused
from ca_core.audit.model import AuditEvent, Outcome, canonical_detail, leaf_hash

AT = datetime(2026, 3, 2, 1, 2, 3, 4, tzinfo=UTC)
FIELDS = {
    "name": "certificate.issued",
    "actor": "system:ca",
    "outcome": "ok",
    "subject": "certificate:1",
    "request_id": "r1",
    "detail": "{}",
}


def event(**changes: object) -> AuditEvent:
    values: dict[str, object] = {"name": "certificate.issued", "actor": "system:ca", "outcome": Outcome.OK, **changes}
    return AuditEvent(**values)  # type: ignore[arg-type]  # keyword by keyword, for the parametrised tests


def test_detail_is_canonical_whatever_the_order() -> None:
    one = canonical_detail(event(detail={"b": 1, "a": "憑證", "c": True}))
    two = canonical_detail(event(detail={"c": True, "a": "憑證", "b": 1}))
    assert one == two == '{"a":"\\u6191\\u8b49","b":1,"c":true}'


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "nodots"},
        {"name": "Upper.case"},
        {"name": "a." + "b" * 70},
        {"actor": ""},
        {"actor": "person:王小明"},
        {"actor": "x" * 129},
        {"subject": "with space"},
        {"subject": "A123456789"},
        {"request_id": "line\nfeed"},
        {"request_id": "nul\x00"},
        {"detail": {"text": "x" * 4096}},
    ],
)
def test_an_event_out_of_bounds_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EventRefused):
        canonical_detail(event(**changes))


@pytest.mark.parametrize("text", ["A123456789", "who a223456789?", "(F800000014)", "AC01234567"])
def test_what_looks_like_a_national_id_is_masked_in_the_detail(text: str) -> None:
    shown = canonical_detail(event(detail={"reported": text}))
    assert "[masked]" in shown
    assert "23456789" not in shown


def test_hexadecimal_digests_are_not_masked() -> None:
    digest = "a123456789" + "0" * 54
    assert digest in canonical_detail(event(detail={"digest": digest}))


def test_a_lone_surrogate_and_nul_are_escaped() -> None:
    assert canonical_detail(event(detail={"x": "\ud800\x00"})) == '{"x":"\\ud800\\u0000"}'


def test_each_member_moves_the_leaf() -> None:
    base = leaf_hash(at=AT, salt=b"s" * 16, **FIELDS)
    seen = {base, leaf_hash(at=AT + timedelta(microseconds=1), salt=b"s" * 16, **FIELDS)}
    seen.add(leaf_hash(at=AT, salt=b"t" * 16, **FIELDS))
    for name in FIELDS:
        seen.add(leaf_hash(at=AT, salt=b"s" * 16, **{**FIELDS, name: FIELDS[name] + "x"}))
    assert len(seen) == 3 + len(FIELDS)


def test_moving_text_from_one_member_to_the_next_moves_the_leaf() -> None:
    one = leaf_hash(at=AT, salt=b"", **{**FIELDS, "subject": "ab", "request_id": "c"})
    two = leaf_hash(at=AT, salt=b"", **{**FIELDS, "subject": "a", "request_id": "bc"})
    assert one != two
