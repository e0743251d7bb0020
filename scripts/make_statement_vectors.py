"""Writes tests/vectors/statement/{accepted,refused}.json: the statement's grammar as data.

    python scripts/make_statement_vectors.py [--check]

Independent of the code that the vectors test: it assembles every serialisation by hand. Keys come from fixed labels and
signatures are deterministic (RFC 6979), so each run writes the same octets; --check compares instead of writing.
"""

import json
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "statement"
ISSUER = "https://id.example.tw"
ORIGIN = "https://id.example.tw"
KID = "statement-2026-1"
NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FLOWS = ("card", "phone-qr", "phone-link", "phone-push", "passkey", "sign", "decrypt", "enrol", "passkey-register")
Json = dict[str, Any]


def b64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def private_key(label: str) -> ec.EllipticCurvePrivateKey:
    """A test key that everybody can make: never one of value."""
    scalar = int.from_bytes(sha256(b"citizenid test key " + label.encode()).digest(), "big") % (ORDER - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1())


KEY = private_key("provider")
SECOND_KEY = private_key("provider, second")
STRANGER = private_key("stranger")
PUBLIC = KEY.public_key()
JWT_HEADER: Json = {"alg": "ES256", "typ": "citizen-statement+jwt", "kid": KID}


def jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> Json:
    numbers = key.public_key().public_numbers()
    x, y = (b64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256"}


def compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def sign(header: bytes, payload: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    """A compact serialisation with a deterministic ES256 signature."""
    return sign_segments(b64url(header), b64url(payload), key)


def sign_segments(header: str, payload: str, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    signed = f"{header}.{payload}"
    der = key.sign(signed.encode("latin-1"), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return f"{signed}.{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def payload(flow: str = "card", **changed: object) -> Json:
    """A valid payload of a flow, with members changed, or left out where the value is `...`."""
    members: Json = {
        "iss": ISSUER,
        "iat": NOW,
        "exp": NOW + 60,
        "nonce": b64url(sha256(f"nonce {flow}".encode()).digest()),
        "flow": flow,
        "origin": ORIGIN,
        "client_id": "tax-filing",
        "client_name": {"zh-TW": "綜合所得稅申報", "en": "Income tax filing"},
        "purpose": {"zh-TW": "登入以申報綜合所得稅", "en": "Log in to file your income tax"},
        "acr": "urn:citizenid:loa:high",
        "claims": ["name", "birthdate"],
        "documents": [],
    }
    if flow in ("sign", "decrypt"):
        members["documents"] = [{"name": "申請書.pdf", "sha256": sha256(b"document").hexdigest()}]
    if flow == "enrol":
        members["cnf"] = {"jkt": b64url(sha256(b"new key").digest())}
    members |= changed
    return {name: value for name, value in members.items() if value is not ...}


def altered(member: str, value: object) -> Json:
    """The valid payload of a card login with one member changed, or left out where the value is `...`."""
    members = payload() | {member: value}
    return {name: value for name, value in members.items() if value is not ...}


def sign_payload(members: Json, *, header: Json = JWT_HEADER, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    return sign(compact_json(header), compact_json(members), key)


def padded_to(size: int) -> Json:
    """A valid payload (but for its size) whose serialisation has that many octets, in the one length that fits."""
    documents = [{"name": "文" * 95 + str(number), "sha256": "0" * 64} for number in range(6)]
    for length in range(1, 101):
        last = {"name": "a" * length, "sha256": "1" * 64}
        members = payload("sign", documents=[*documents, last], purpose=text("用", "p" * 200))
        if len(sign_payload(members)) == size:
            return members
    raise SystemExit(f"no payload of {size} octets")


def text(zh: str, en: str = "x") -> Json:
    return {"zh-TW": zh, "en": en}


def accepted() -> Iterator[Json]:
    for flow in FLOWS:
        yield accept(f"flow {flow}", payload(flow))
    yield accept(
        "the second key of the set", payload(), header=JWT_HEADER | {"kid": "statement-2026-2"}, key=SECOND_KEY
    )
    yield accept("no claims", payload(claims=[]))
    yield accept("as many claims as allowed", payload(claims=[f"claim_{number}" for number in range(40)]))
    yield accept("names of 100 characters", payload(client_name=text("名" * 100, "n" * 100)))
    yield accept("purposes of 200 characters", payload(purpose=text("用" * 200, "p" * 200)))
    yield accept("a name beyond the basic plane", payload(client_name=text("𠮷野家", "Yoshinoya")))
    yield accept(
        "ten documents", payload("sign", documents=[{"name": str(n), "sha256": f"{n:064x}"} for n in range(10)])
    )
    yield accept("the longest lifetime", payload(exp=NOW + 600))
    yield accept("exactly 4096 octets", padded_to(4096))
    yield accept("an issuer with a path", payload(iss=f"{ISSUER}/tw"), issuer=f"{ISSUER}/tw")
    for origin in ("http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000", "https://a-b.example:8443"):
        yield accept(f"origin {origin}", payload(iss=origin, origin=origin), issuer=origin, origin=origin)
    loose = json.dumps(dict(reversed(payload().items())), ensure_ascii=True, indent=1).encode()
    yield accept("another order, escapes and white space", payload(), compact=sign(compact_json(JWT_HEADER), loose))


def accept(
    name: str,
    members: Json,
    *,
    header: Json = JWT_HEADER,
    key: ec.EllipticCurvePrivateKey = KEY,
    issuer: str = ISSUER,
    origin: str = ORIGIN,
    compact: str = "",
) -> Json:
    compact = compact or sign_payload(members, header=header, key=key)
    digest = sha256(compact.encode("ascii")).digest()
    return {
        "name": name,
        "compact": compact,
        "issuer": issuer,
        "origin": origin,
        "now": NOW + 10,
        "payload": members,
        "digest": digest.hex(),
        "challenge_nonce": b64encode(digest).decode("ascii"),
        "code": f"{int.from_bytes(sha256(digest).digest()[-2:], 'big') % 10_000:04d}",
    }


def refuse(name: str, refusal: str, compact: str, **changed: object) -> Json:
    return {
        "name": name,
        "refusal": refusal,
        "compact": compact,
        "issuer": ISSUER,
        "origin": ORIGIN,
        "now": NOW + 10,
    } | changed


def refused() -> Iterator[Json]:
    yield from refused_by_rule()
    for name, compact in (
        *malformed_serialisations(),
        *malformed_headers(),
        *malformed_json(),
        *malformed_members(),
        *malformed_between_members(),
    ):
        yield refuse(name, "statement_malformed", compact)


def refused_by_rule() -> Iterator[Json]:
    good = sign_payload(payload())
    header, body, signature = good.split(".")
    yield refuse("expired", "statement_expired", good, now=NOW + 660)
    yield refuse("from the future", "statement_not_yet_valid", good, now=NOW - 600)
    yield refuse("another issuer", "statement_issuer_mismatch", sign_payload(payload(iss="https://id.example.com")))
    yield refuse(
        "an issuer that only begins alike", "statement_issuer_mismatch", sign_payload(payload(iss=f"{ISSUER}/x"))
    )
    yield refuse("another origin", "statement_origin_mismatch", sign_payload(payload(origin="https://evil.example")))
    yield refuse("another port", "statement_origin_mismatch", sign_payload(payload(origin=f"{ORIGIN}:8443")))
    yield refuse(
        "an unknown key", "statement_key_unknown", sign_payload(payload(), header=JWT_HEADER | {"kid": "other"})
    )
    invalid = "statement_signature_invalid"
    yield refuse("a stranger's signature under our kid", invalid, sign_payload(payload(), key=STRANGER))
    yield refuse("the second key under the first one's kid", invalid, sign_payload(payload(), key=SECOND_KEY))
    altered = b64url(compact_json(payload(client_id="tax-filinh")))
    yield refuse("one octet of the payload altered", invalid, f"{header}.{altered}.{signature}")
    other = b64url(compact_json(JWT_HEADER | {"kid": "statement-2026-2"}))
    yield refuse("the header altered", invalid, f"{other}.{body}.{signature}")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    yield refuse("one octet of the signature altered", invalid, f"{header}.{body}.{flipped}")
    yield refuse("a signature of zeros", invalid, f"{header}.{body}.{b64url(bytes(64))}")
    overflow = ORDER.to_bytes(32, "big") + ORDER.to_bytes(32, "big")
    yield refuse("a signature of the group's order", invalid, f"{header}.{body}.{b64url(overflow)}")


def malformed_serialisations() -> Iterator[tuple[str, str]]:
    good = sign_payload(payload())
    header, body, signature = good.split(".")
    yield "empty", ""
    yield "4097 octets", sign_payload(padded_to(4097))
    yield "two segments", f"{header}.{body}"
    yield "four segments", f"{good}.{signature}"
    yield "a detached payload", f"{header}..{signature}"
    yield "no signature", f"{header}.{body}."
    yield "a line feed at the end", f"{good}\n"
    yield "white space before it", f" {good}"
    yield "padding in the signature", f"{good}=="
    yield "a signature one octet short", f"{header}.{body}.{signature[:-2]}"
    yield "a signature in DER", f"{header}.{body}.{b64url(KEY.sign(b'', ec.ECDSA(hashes.SHA256(), True)))}"
    yield "spare bits set in the signature", f"{header}.{body}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}"
    short = b64url(compact_json(payload(client_id=client_id_for_spare_bits())))
    yield "spare bits set in the payload", sign_segments(header, short[:-1] + chr(ord(short[-1]) + 1))
    yield "the standard alphabet of base64", sign_segments(header, short.replace("-", "+").replace("_", "/"))
    yield "padding in the payload", sign_segments(header, short + "=" * (-len(short) % 4))
    yield "a line feed in the payload", sign_segments(header, f"{body[:8]}\n{body[8:]}")
    yield "a letter of another alphabet", sign_segments(header, "é" + body[1:])


def client_id_for_spare_bits() -> str:
    """A client_id that leaves spare bits in the payload's last character, and - or _ somewhere in it."""
    for number in range(1000):
        candidate = f"{'c' * (number % 3)}~{number}"
        encoded = b64url(compact_json(payload(client_id=candidate)))
        if len(encoded) % 4 == 2 and encoded[-1] in "AQgw" and ("-" in encoded or "_" in encoded):
            return candidate
    raise SystemExit("no client_id leaves spare bits")


def malformed_headers() -> Iterator[tuple[str, str]]:
    body = payload()
    for name, header in (
        ("alg none", JWT_HEADER | {"alg": "none"}),
        ("alg HS256", JWT_HEADER | {"alg": "HS256"}),
        ("alg RS256", JWT_HEADER | {"alg": "RS256"}),
        ("alg ES384", JWT_HEADER | {"alg": "ES384"}),
        ("alg in lower case", JWT_HEADER | {"alg": "es256"}),
        ("alg a list", JWT_HEADER | {"alg": ["ES256"]}),
        ("typ JWT", JWT_HEADER | {"typ": "JWT"}),
        ("typ in other letters", JWT_HEADER | {"typ": "Citizen-Statement+JWT"}),
        ("typ with a prefix", JWT_HEADER | {"typ": "application/citizen-statement+jwt"}),
        ("a key of its own", JWT_HEADER | {"jwk": jwk(KEY, KID)}),
        ("a key's address", JWT_HEADER | {"jku": "https://evil.example/jwks"}),
        ("critical extensions", JWT_HEADER | {"crit": ["b64"], "b64": False}),
        ("a kid of another type", JWT_HEADER | {"kid": 1}),
        ("an empty kid", JWT_HEADER | {"kid": ""}),
        ("a kid of 65 characters", JWT_HEADER | {"kid": "k" * 65}),
        ("a kid with a slash", JWT_HEADER | {"kid": "../key"}),
        *((f"no {name}", {key: JWT_HEADER[key] for key in JWT_HEADER if key != name}) for name in JWT_HEADER),
    ):
        yield f"header: {name}", sign_payload(body, header=header)
    twice = compact_json(JWT_HEADER)[:-1] + b',"alg":"none"}'
    yield "header: alg twice", sign(twice, compact_json(body))
    yield "header: not an object", sign(b'["ES256"]', compact_json(body))


def malformed_json() -> Iterator[tuple[str, str]]:
    head, good = compact_json(JWT_HEADER), compact_json(payload())
    for name, body in (
        ("empty", b""),
        ("not an object", b"[" + good + b"]"),
        ("a string", compact_json("text")),
        ("text after it", good + b"{}"),
        ("a comma too many", good[:-1] + b",}"),
        ("a member twice", good[:-1] + b',"client_id":"other"}'),
        ("an inner member twice", good.replace(b'"en":"Income', b'"en":"Bank","en":"Income')),
        ("a member twice, once with an escape", good[:-1] + b',"client\\u005fid":"other"}'),
        ("a byte order mark", b"\xef\xbb\xbf" + good),
        ("UTF-16", good.decode().encode("utf-16-le")),
        ("not UTF-8", good.replace(b"tax-filing", b"tax-filin\xff")),
        ("an overlong UTF-8 form", good.replace(b"Income", b"In\xc1\xafome")),
        ("a lone surrogate", good.replace(b"Income", b"\\ud800Income")),
        ("a raw control character", good.replace(b"Income", b"In\tcome")),
        ("NaN", good.replace(str(NOW).encode(), b"NaN", 1)),
        ("a fraction", good.replace(str(NOW).encode(), str(NOW).encode() + b".0", 1)),
        ("an exponent", good.replace(str(NOW).encode(), b"1e9", 1)),
        ("a number of 2000 digits", good.replace(str(NOW).encode(), b"1" * 2000, 1)),
        ("nested 900 deep", good.replace(b'"documents":[]', b'"documents":' + b"[" * 900 + b"]" * 900)),
    ):
        yield f"JSON: {name}", sign(head, body)


def malformed_members() -> Iterator[tuple[str, str]]:
    yield "an unknown member", sign_payload(payload(sub="someone"))
    for member in payload():
        yield f"no {member}", sign_payload(altered(member, ...))
        yield f"{member} null", sign_payload(altered(member, None))
        yield f"{member} true", sign_payload(altered(member, True))
    for member, value in wrong_values():
        yield f"{member} {shortened(value)}", sign_payload(altered(member, value))


def shortened(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 48 else f"{shown[:40]}... ({len(shown)} characters)"


def wrong_values() -> Iterator[tuple[str, object]]:
    value: object
    for value in (str(NOW), -1, 253_402_300_800, [NOW]):
        yield "iat", value
    nonce = payload()["nonce"]
    for value in ("", nonce[:-1], nonce + "A", nonce[:-1] + "B", nonce[:-1] + "=", "+" + nonce[1:], 1):
        yield "nonce", value
    for value in ("", "Card", "card ", "login", ["card"]):
        yield "flow", value
    for value in (
        *("", "null", f"{ORIGIN}/", f"{ORIGIN}/login", f"{ORIGIN}?q", f"{ORIGIN}#f", "https://", "id.example.tw"),
        *(
            "https://ID.example.tw",
            "https://user@id.example.tw",
            "https://id.example.tw:443",
            "https://id.example.tw:0",
        ),
        *("https://id.example.tw:08443", "https://id.example.tw.", "https://.example.tw", "https://身分.tw", "//id.tw"),
        *("http://id.example.tw", "http://localhost.evil.example", "http://localhost:80", "https://*.example.tw"),
        *("javascript:alert(1)", "https://id.example.tw https://evil.example", f"https://{'a.' * 130}tw", [ORIGIN]),
    ):
        yield "origin", value
    for value in (
        "",
        f"{ISSUER}/",
        f"{ISSUER}?q",
        f"{ISSUER}#f",
        "http://id.example.tw",
        f"{ISSUER}//x",
        "urn:x",
        ISSUER + "\n",
    ):
        yield "iss", value
    for value in ("", "c" * 101, "a b", "客戶", 'a"b', "a\\b", "a\n", ["tax-filing"]):
        yield "client_id", value
        yield "acr", value
    for member, limit in (("client_name", 100), ("purpose", 200)):
        yield member, "a string"
        yield member, {"zh-TW": "名"}
        yield member, {"en": "x"}
        yield member, {"zh-TW": "名", "en": "x", "ja": "名"}
        yield member, {"zh-tw": "名", "en": "x"}
        yield member, {"zh-TW": "名", "en": ["x"]}
        for bad in ("", " ", "x ", "\u3000x", "x" * (limit + 1), "a\nb", "a\x00b", "a\u202eb", "a\u2066b", "a\u200bb"):
            yield member, text(bad)
        for bad in ("\ufeffx", "a\u2028b", "a\xadb", "a\x85b", "a\u061cb", "a\ufff9b", "a\U000e0041b", "a\ue000b"):
            yield member, text("名", bad)
    for value in (
        "name",
        {"name": None},
        [1],
        [""],
        ["name", "name"],
        ["a b"],
        ["c" * 65],
        [str(n) for n in range(41)],
        [["name"]],
    ):
        yield "claims", value
    yield "documents", {}


def malformed_between_members() -> Iterator[tuple[str, str]]:
    document = payload("sign")["documents"][0]
    thumbprint = payload("enrol")["cnf"]["jkt"]
    yield "exp equal to iat", sign_payload(payload(exp=NOW))
    yield "exp before iat", sign_payload(payload(exp=NOW - 1))
    yield "a lifetime of 601 seconds", sign_payload(payload(exp=NOW + 601))
    for flow in FLOWS:
        if flow not in ("sign", "decrypt"):
            yield f"documents in the flow {flow}", sign_payload(payload(flow, documents=[document]))
        if flow != "enrol":
            yield f"cnf in the flow {flow}", sign_payload(payload(flow, cnf={"jkt": thumbprint}))
    value: object
    yield "no document in the flow sign", sign_payload(payload("sign", documents=[]))
    for name, value in (
        ("eleven", [document] * 11),
        ("no name", [{"sha256": document["sha256"]}]),
        ("no digest", [{"name": "x"}]),
        ("another member", [document | {"url": "https://evil.example"}]),
        ("a digest in upper case", [document | {"sha256": document["sha256"].upper()}]),
        ("a digest one digit short", [document | {"sha256": document["sha256"][1:]}]),
        ("a name of 101 characters", [document | {"name": "文" * 101}]),
        ("a name that turns around", [document | {"name": "cod.\u202efdp"}]),
        ("a string", ["x"]),
    ):
        yield f"documents: {name}", sign_payload(payload("sign", documents=value))
    yield "no cnf in the flow enrol", sign_payload(payload("enrol", cnf=...))
    for name, value in (
        ("null", None),
        ("a string", thumbprint),
        ("empty", {}),
        ("a key", {"jwk": jwk(KEY, KID)}),
        ("another member", {"jkt": thumbprint, "x5t#S256": thumbprint}),
        ("a thumbprint one character short", {"jkt": thumbprint[:-1]}),
        ("a thumbprint with spare bits set", {"jkt": thumbprint[:-1] + chr(ord(thumbprint[-1]) + 1)}),
    ):
        yield f"cnf: {name}", sign_payload(payload("enrol", cnf=value))


def rendered(vectors: list[Json]) -> str:
    names = [vector["name"] for vector in vectors]
    if len(set(names)) != len(names):
        raise SystemExit(f"a name is used twice: {sorted(name for name in names if names.count(name) > 1)}")
    jwks = {"keys": [jwk(KEY, KID), jwk(SECOND_KEY, "statement-2026-2")]}
    return json.dumps({"jwks": jwks, "vectors": vectors}, ensure_ascii=True, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    stale = 0
    for name, vectors in (("accepted.json", list(accepted())), ("refused.json", list(refused()))):
        path, content = FOLDER / name, rendered(vectors)
        if arguments != ["--check"]:
            path.write_text(content, encoding="ascii")
        elif not path.exists() or path.read_text(encoding="ascii") != content:
            print(f"{path} is not what this script makes", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
