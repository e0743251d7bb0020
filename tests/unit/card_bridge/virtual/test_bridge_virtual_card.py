"""The virtual card answers as a real one does: every fault its own status word, and no side effect with it."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from card_bridge.apdu import tlv
from card_bridge.apdu.chain import channel_over
from card_bridge.apdu.model import CommandApdu, ResponseApdu
from card_bridge.piv import management
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, Slot
from card_bridge.virtual import PLAIN_CARD, VENDOR_CARD, CardProfile, MemoryStore, VirtualCard
from card_bridge.virtual.direct import DirectReader
from card_bridge.virtual.profile import CONTACT_T0
from card_bridge.virtual.state import CardState

SELECT = "00a4040009a0000003080000100000"
VERIFY = "0020008008313233343536ffff"
WRONG = "0020008008393939393939ffff"
DIGEST = bytes(range(32))
SIGN_9A = "0087119a26" + tlv.encode(0x7C, tlv.Tlv(0x82), tlv.Tlv(0x81, DIGEST)).hex() + "00"
SIGN_9C = SIGN_9A.replace("119a", "119c", 1)


def send(card: VirtualCard, octets: str) -> ResponseApdu:
    return ResponseApdu.parse(card.transmit(bytes.fromhex(octets)))


def status(card: VirtualCard, octets: str) -> int:
    return send(card, octets).status


def selected(profile: CardProfile = VENDOR_CARD, store: MemoryStore | None = None) -> VirtualCard:
    card = VirtualCard(store, profile)
    assert status(card, SELECT) == 0x9000
    return card


def prove_management(card: VirtualCard) -> None:
    channel = channel_over(DirectReader(card))
    management.authenticate(channel, management.DEFAULT_KEY, AlgorithmReference.TRIPLE_DES, bytes)


def with_keys(profile: CardProfile = VENDOR_CARD) -> VirtualCard:
    card = selected(profile)
    prove_management(card)
    channel = channel_over(DirectReader(card))
    for slot in (Slot.AUTHENTICATION, Slot.SIGNATURE):
        management.generate_key(channel, slot, KeyAlgorithm.P_256)
    return card


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        ("00a4040009a0000000030000000000", 0x6A82),  # another application
        ("00a4040004a0000003", 0x6A82),  # shorter than a registered identifier
        ("00a4000002" + "3f00", 0x6A82),  # a file
        ("00ca000000", 0x6D00),  # no such instruction
        ("80cb3fff055c035fc10200", 0x6E00),  # no such class
        ("0ccb3fff055c035fc10200", 0x6882),  # secure messaging
        ("01cb3fff055c035fc10200", 0x6881),  # logical channel
        ("00cb0000055c035fc10200", 0x6A86),
        ("00cb3fff055c035fc10200", 0x6A82),  # no such object
        ("00cb3fff02ffff00", 0x6A80),
        ("00cb3fff055c035fc10900", 0x6982),  # printed information is behind the PIN
        ("00cb3fff055c03", 0x6700),  # Lc and data disagree
        ("00db3fff055c035fc102", 0x6982),  # writing wants the management key
        ("0047009a05ac03800111", 0x6982),
        ("0047019a05ac03800111", 0x6A86),
        ("0047000105ac03800111", 0x6A86),
        ("0020000108313233343536ffff", 0x6A88),
        ("0020018008313233343536ffff", 0x6A86),
        ("0020ff8008313233343536ffff", 0x6700),
        ("00200080063132333435", 0x6700),
        ("00200080063132333435" + "36", 0x6700),  # not padded
        ("0020008008616263646566ffff", 0x6A80),  # not digits
        ("00200080083132333435ffffff", 0x6A80),  # too few
        ("0024018010" + "00" * 16, 0x6A86),
        ("0024008210" + "00" * 16, 0x6A88),
        ("0024008008" + "00" * 8, 0x6700),
        ("002c008110" + "00" * 16, 0x6A88),
        ("002c008008" + "00" * 8, 0x6700),
        ("0087119a047c028200", 0x6A88),  # no key
        ("0087110104" + "7c028200", 0x6A86),  # no such reference
        ("0087ff9b047c028000", 0x6A86),  # no such algorithm
        ("00870a9b047c028000", 0x6A86),  # not the management key's
        ("0087039b0400000000", 0x6A80),
        ("00c0000010", 0x6985),  # nothing is waiting
        ("00c0010010", 0x6A86),
        ("1020008008313233343536ffff", 0x6884),  # VERIFY is not chained
    ],
)
def test_each_fault_has_its_own_status_word(octets: str, word: int) -> None:
    card = selected()

    assert status(card, octets) == word
    assert status(card, "00200080") == 0x63C3


def test_before_selection_only_select_is_known() -> None:
    card = VirtualCard()

    assert status(card, VERIFY) == 0x6D00
    assert status(card, SELECT) == 0x9000


def test_the_application_names_itself() -> None:
    template = dict((each.tag, each.value) for each in tlv.parse(tlv.parse_only(send(selected(), SELECT).data, 0x61)))

    assert template[0x4F].hex() == "000010000100"
    assert template[0x79].hex() == "4f05a000000308"


def test_wrong_pins_count_down_to_a_block_that_only_the_puk_lifts() -> None:
    card = selected()

    assert [status(card, WRONG) for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert status(card, VERIFY) == 0x6983
    assert status(card, "00200080") == 0x6983
    assert status(card, "002400801" + "0" + "313233343536ffff" + "363534333231ffff") == 0x6983
    assert status(card, "002c008010" + "00" * 8 + "363534333231ffff") == 0x63C2
    assert status(card, "002c008010" + "3132333435363738" + "363534333231ffff") == 0x9000
    assert status(card, "0020008008363534333231ffff") == 0x9000


def test_wrong_puks_block_for_good() -> None:
    card = selected()
    attempt = "002c008010" + "00" * 8 + "363534333231ffff"

    assert [status(card, attempt) for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert status(card, "002c008010" + "3132333435363738" + "363534333231ffff") == 0x6983
    assert status(card, VERIFY) == 0x9000


def test_the_right_pin_gives_all_tries_back_and_a_wrong_one_locks_again() -> None:
    card = selected()

    assert [status(card, each) for each in (WRONG, VERIFY, "00200080", WRONG, "00200080")] == [
        0x63C2,
        0x9000,
        0x9000,
        0x63C2,
        0x63C2,
    ]


def test_tries_survive_power_and_are_spent_before_the_comparison() -> None:
    store = MemoryStore()
    card = selected(store=store)
    card.transmit(bytes.fromhex(WRONG))
    again = selected(store=store)

    assert status(again, "00200080") == 0x63C2

    class PullsThePlug(MemoryStore):
        def save(self, state: CardState) -> None:
            super().save(state)
            raise KeyboardInterrupt

    unplugged = PullsThePlug()
    unplugged.written = store.written
    card = selected(store=unplugged)
    with pytest.raises(KeyboardInterrupt):
        card.transmit(bytes.fromhex(WRONG))
    store.written = unplugged.written
    assert status(selected(store=store), "00200080") == 0x63C1


def test_a_reset_forgets_pin_management_key_and_application() -> None:
    card = with_keys()
    assert status(card, VERIFY) == 0x9000

    card.reset()

    assert status(card, SIGN_9A) == 0x6D00
    assert status(card, SELECT) == 0x9000
    assert status(card, SIGN_9A) == 0x6982
    assert status(card, "0047009a05ac03800111") == 0x6982


def test_selecting_the_same_or_no_application_keeps_the_pin() -> None:
    card = selected()
    card.transmit(bytes.fromhex(VERIFY))

    assert status(card, "00a4040009a0000000030000000000") == 0x6A82
    assert status(card, SELECT) == 0x9000
    assert status(card, "00200080") == 0x9000
    assert status(card, "0020ff80") == 0x9000
    assert status(card, "00200080") == 0x63C3


@pytest.mark.parametrize("profile", [VENDOR_CARD, PLAIN_CARD])
def test_9c_wants_the_pin_before_each_signature_and_9a_once(profile: CardProfile) -> None:
    card = with_keys(profile)

    assert [status(card, each) for each in (SIGN_9A, SIGN_9C)] == [0x6982, 0x6982]
    assert [status(card, each) for each in (VERIFY, SIGN_9C, SIGN_9C, SIGN_9A, SIGN_9A)] == [
        0x9000,
        0x9000,
        0x6982,
        0x9000,
        0x9000,
    ]


def test_a_standard_card_wants_the_pin_immediately_before() -> None:
    between = "00cb3fff035c017e00"

    plain = with_keys(PLAIN_CARD)
    assert [status(plain, each) for each in (VERIFY, between, SIGN_9C)] == [0x9000, 0x9000, 0x6982]
    vendor = with_keys(VENDOR_CARD)
    assert [status(vendor, each) for each in (VERIFY, between, SIGN_9C)] == [0x9000, 0x9000, 0x9000]


def test_a_signature_verifies() -> None:
    card = selected()
    prove_management(card)
    public_key = management.generate_key(channel_over(DirectReader(card)), Slot.AUTHENTICATION, KeyAlgorithm.P_256)
    card.transmit(bytes.fromhex(VERIFY))

    signature = tlv.find(tlv.parse(tlv.parse_only(send(card, SIGN_9A).data, 0x7C)), 0x82) or b""

    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(signature, DIGEST, ec.ECDSA(Prehashed(SHA256())))


@pytest.mark.parametrize(
    "template",
    [
        b"\x7c\x00",
        tlv.encode(0x7C, tlv.Tlv(0x82)),
        tlv.encode(0x7C, tlv.Tlv(0x81, DIGEST)),
        tlv.encode(0x7C, tlv.Tlv(0x82), tlv.Tlv(0x82), tlv.Tlv(0x81, DIGEST)),
        tlv.encode(0x7C, tlv.Tlv(0x82), tlv.Tlv(0x81, DIGEST), tlv.Tlv(0x85, DIGEST)),
        tlv.encode(0x7C, tlv.Tlv(0x82), tlv.Tlv(0x85, b"\x04" + bytes(64))),  # no point of the curve
    ],
)
def test_a_malformed_template_signs_nothing(template: bytes) -> None:
    card = with_keys()
    card.transmit(bytes.fromhex(VERIFY))

    assert status(card, f"0087119a{len(template):02x}{template.hex()}00") == 0x6A80
    assert status(card, f"0087079a{len(template):02x}{template.hex()}00") == 0x6A86


def test_a_digest_longer_than_the_curve_is_refused() -> None:
    card = with_keys()
    card.transmit(bytes.fromhex(VERIFY))
    template = tlv.encode(0x7C, tlv.Tlv(0x82), tlv.Tlv(0x81, bytes(33)))

    assert status(card, f"0087119a{len(template):02x}{template.hex()}00") == 0x6700


def test_the_answer_comes_in_parts_and_exactly_as_asked() -> None:
    card = selected()
    prove_management(card)
    content = bytes(range(256)) * 3
    channel = channel_over(DirectReader(card))
    management.put_data(channel, 0x5FC105, content)
    whole = tlv.encode(0x53, content)

    first = send(card, "00cb3fff055c035fc10508")
    assert (first.data, first.status) == (whole[:8], 0x6100)
    second = send(card, "00c00000fa")
    assert (second.data, second.status) == (whole[8:258], 0x6100)
    third = send(card, "00c0000000")
    assert (third.data, third.status) == (whole[258:514], 0x6100)
    fourth = send(card, "00c0000000")
    assert (fourth.data, fourth.status) == (whole[514:770], 0x6102)
    assert send(card, "00c0000002").encode() == whole[770:] + b"\x90\x00"
    assert send(card, "00cb3fff0000055c035fc1050000").data == whole
    send(card, "00cb3fff055c035fc10508")
    card.transmit(bytes.fromhex("00200080"))
    assert status(card, "00c0000000") == 0x6985


def test_t0_offers_the_answer_and_gives_none_beside_data() -> None:
    card = VirtualCard(profile=CardProfile(atr=CONTACT_T0))

    first = ResponseApdu.parse(card.transmit(bytes.fromhex(SELECT[:-2])))
    assert (first.data, first.status.sw1) == (b"", 0x61)
    assert send(card, f"00c00000{first.status.sw2:02x}").data[0] == 0x61


def test_a_chain_that_breaks_off_is_forgotten() -> None:
    card = with_keys()
    card.transmit(bytes.fromhex(VERIFY))

    assert status(card, "1087119a027c02") == 0x9000
    assert status(card, "00200080") == 0x6883
    assert status(card, "00200080") == 0x9000
    assert status(card, SIGN_9A) == 0x9000


def test_a_chain_without_end_is_refused() -> None:
    card = selected()
    part = "10db3fffff" + "00" * 255

    words = [status(card, part) for _ in range(80)]

    assert 0x6700 in words
    assert status(card, "00200080") in (0x63C3, 0x6883)


def test_an_object_too_large_is_refused_and_the_old_one_kept() -> None:
    card = selected()
    prove_management(card)
    channel = channel_over(DirectReader(card), extended=True)
    management.put_data(channel, 0x5FC102, b"old")
    body = tlv.encode(0x5C, b"\x5f\xc1\x02") + tlv.encode(0x53, bytes(20_000))

    answer = channel.send(CommandApdu(ins=0xDB, p1=0x3F, p2=0xFF, data=body, extended=True))

    assert answer.status == 0x6A84
    assert send(card, "00cb3fff055c035fc10200").data == b"\x53\x03old"
    management.put_data(channel, 0x5FC102, b"")
    assert status(card, "00cb3fff055c035fc10200") == 0x6A82


def test_a_wrong_management_key_proves_nothing_and_a_witness_serves_once() -> None:
    card = selected()
    witness = send(card, "0087039b047c02800000")
    assert witness.status == 0x9000

    wrong = "0087039b167c1480080000000000000000810800000000000000000" + "0"
    assert status(card, wrong) == 0x6982
    assert status(card, wrong) == 0x6A80
    assert status(card, "0047009a05ac03800111") == 0x6982


def test_a_plain_card_has_no_vendor_instructions() -> None:
    card = selected(PLAIN_CARD)
    prove_management(card)

    for octets in (
        "00fd000000",
        "00f8000000",
        "00f7009b00",
        "00f99a0000",
        "00fa0505",
        "00fb0000",
        "00feffff",
        "00ffffff",
    ):
        assert status(card, octets) == 0x6D00
    assert status(card, "00db3fff08" + "5c035fff10" + "5301aa") == 0x6A82


def test_a_card_keeps_its_kind_whatever_it_is_started_as() -> None:
    store = MemoryStore()
    selected(PLAIN_CARD, store)

    assert status(selected(VENDOR_CARD, store), "00fd000000") == 0x6D00
