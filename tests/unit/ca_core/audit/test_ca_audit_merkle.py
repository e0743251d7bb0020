"""Trees, proofs, tiles and notes against what other implementations made (tests/vectors/tlog/README.md)."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ca_core.audit.checkpoint import parse_checkpoint
from ca_core.audit.errors import AuditLogFault, NoteRefused, ProofRefused
from ca_core.audit.merkle import (
    EMPTY_ROOT,
    leaf_node,
    prove_consistency,
    prove_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from ca_core.audit.note import VerifierKey, parse_note, parse_verifier_key, verify_cosignature, verify_note
from ca_core.audit.tiles import (
    TiledTree,
    TileName,
    TreeBuilder,
    bundles_of,
    encode_bundle,
    parse_bundle,
    parse_tile_path,
    tiles_of,
)

VECTORS = Path(__file__).parents[3] / "vectors" / "tlog"
LARGEST = 66_000


def entry(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / "golden.json").read_text())
    return loaded


class Grown:
    """A large tree, its roots on the way, and its tiles."""

    def __init__(self, sizes: set[int]) -> None:
        built = TreeBuilder(0, lambda _level, _position: None)
        self.roots = {}
        for number in range(LARGEST):
            built.append(entry(number))
            if built.size in sizes:
                self.roots[built.size] = built.root()
        self.tiles = {(level, position): hashes for level, position, hashes, _ in built.changes()}

    def tree(self, size: int) -> TiledTree:
        return TiledTree(size, lambda level, position: self.tiles.get((level, position)))


@pytest.fixture(scope="module")
def grown(golden: dict[str, Any]) -> Grown:
    return Grown({int(size) for size in golden["roots"]})


def test_the_published_vectors_of_rfc_6962() -> None:
    vectors = json.loads((VECTORS / "rfc6962.json").read_text())
    leaves = [bytes.fromhex(text) for text in vectors["leaf_inputs"]]
    assert [EMPTY_ROOT.hex()] == vectors["empty_root"]
    for size, root in enumerate(vectors["root_hashes"], 1):
        built = TreeBuilder(0, lambda _level, _position: None)
        for leaf in leaves[:size]:
            built.append(leaf)
        assert built.root().hex() == root
        assert root_of([leaf_node(leaf) for leaf in leaves[:size]]).hex() == root


def test_roots_are_those_of_another_implementation(golden: dict[str, Any], grown: Grown) -> None:
    assert {str(size): root.hex() for size, root in grown.roots.items()} == golden["roots"]
    for size in grown.roots:
        assert grown.tree(size).root() == grown.roots[size]


def test_proofs_are_those_of_another_implementation(golden: dict[str, Any], grown: Grown) -> None:
    roots = grown.roots
    for case in golden["inclusion"]:
        index, size, proof = case.get("index", 0), case["size"], [bytes.fromhex(node) for node in case["proof"]]
        tree = grown.tree(size)
        assert prove_inclusion(index, size, tree.range_hash) == proof
        verify_inclusion(leaf_node(entry(index)), index, size, proof, tree.root())
    for case in golden["consistency"]:
        old, size, proof = case["old_size"], case["size"], [bytes.fromhex(node) for node in case["proof"]]
        tree = grown.tree(size)
        assert prove_consistency(old, size, tree.range_hash) == proof
        verify_consistency(old, size, proof, tree.range_hash(0, old), tree.root())
    assert len(roots) == len(golden["roots"])


def test_tiles_are_those_of_another_implementation(golden: dict[str, Any], grown: Grown) -> None:
    for size, sums in golden["tiles"].items():
        names = {name.path: name for name in tiles_of(int(size))}
        assert set(names) == set(sums)
        for path, expected in sums.items():
            name = names[path]
            hashes = grown.tiles[name.level or 0, name.position][: name.width * 32]
            assert sha256(hashes).hexdigest() == expected


def test_a_note_signed_and_cosigned_elsewhere_verifies(golden: dict[str, Any], grown: Grown) -> None:
    made = golden["note"]
    note = parse_note(made["note"].encode())
    log, witness = parse_verifier_key(made["log_key"]), parse_verifier_key(made["witness_key"])
    verify_note(note, log)
    assert verify_cosignature(note.text, note.signatures[1], witness).year >= 2026
    head = parse_checkpoint(note.text)
    assert (head.origin, head.size, head.root_hash) == (log.name, 300, grown.roots[300])
    assert note.octets == made["note"].encode()
    with pytest.raises(NoteRefused):
        verify_cosignature(note.text, note.signatures[0], witness)
    with pytest.raises(NoteRefused):
        verify_cosignature(note.text + "x\n", note.signatures[1], witness)
    with pytest.raises(NoteRefused):
        verify_note(note, VerifierKey(name=log.name, kind=log.kind, public_key=witness.public_key))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (TileName(level=0, position=0), "0/000"),
        (TileName(level=63, position=999, width=1), "63/999.p/1"),
        (TileName(level=1, position=1_234_067), "1/x001/x234/067"),
        (TileName(level=None, position=1_000, width=255), "entries/x001/000.p/255"),
    ],
)
def test_a_tiles_path_and_back(name: TileName, path: str) -> None:
    assert name.path == path
    assert parse_tile_path(path) == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/00",
        "0/0000",
        "0/1000",
        "64/000",
        "00/000",
        "-1/000",
        "0/x000/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/000.p/",
        "0/000/",
        "0/../000",
        "Entries/000",
        "0/٠٠٠",
        "0/000\n",
        "0/" + "x001/" * 9 + "001",
    ],
)
def test_no_other_path_is_a_tiles(path: str) -> None:
    with pytest.raises(ValueError, match="not the path"):
        parse_tile_path(path)


def test_the_specifications_own_example_of_partial_tiles() -> None:
    names = list(tiles_of(70_000))
    assert sum(name.level == 0 for name in names) == 274
    assert {(name.level, name.position, name.width) for name in names if name.width < 256} == {
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    }
    assert {(name.level, name.width) for name in tiles_of(256)} == {(0, 256), (1, 1)}
    assert [name.width for name in bundles_of(257)] == [256, 1]


def test_a_bundle_and_back() -> None:
    entries = [entry(number) for number in range(3)]
    assert parse_bundle(encode_bundle(b"".join(entries))) == entries
    for broken in (b"\x00", b"\x00\x20abc", encode_bundle(entries[0])[:-1], encode_bundle(bytes(32 * 257))):
        with pytest.raises(ValueError, match="not a bundle"):
            parse_bundle(broken)


def test_a_missing_tile_is_named() -> None:
    with pytest.raises(AuditLogFault, match="tile 0/0"):
        TiledTree(3, lambda _level, _position: None).root()
    with pytest.raises(AuditLogFault, match="tile 0/0"):
        TreeBuilder(3, lambda _level, _position: bytes(64))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    tree = TiledTree(size, lambda _level, _position: bytes(96))
    with pytest.raises(ProofRefused):
        prove_inclusion(index, size, tree.range_hash)
    with pytest.raises(ProofRefused):
        verify_inclusion(bytes(32), index, size, [], bytes(32))
    with pytest.raises(ProofRefused):
        prove_consistency(size + 1, size, tree.range_hash)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nnot a signature\n",
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name AAAAAAAA".encode(),
        "text\n\n— na+me AAAAAAAA\n".encode(),
        "text\n\n—  AAAAAAAA\n".encode(),
        "te\txt\n\n— name AAAAAAAA\n".encode(),
        "text\r\n\n— name AAAAAAAA\n".encode(),
        "text\n\n— name AAAA AAAA\n".encode(),
        b"\xff\n\n" + "— name AAAAAAAA\n".encode(),
        b"text\n\n" + "— name AAAAAAAA\n".encode() * 65,
        b"x" * 70_000,
    ],
)
def test_a_malformed_note_is_refused(octets: bytes) -> None:
    with pytest.raises(NoteRefused):
        parse_note(octets)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n1\n",
        f"log\n01\n{'A' * 43}=\n",
        f"log\n-1\n{'A' * 43}=\n",
        f"log\n１\n{'A' * 43}=\n",
        f"\n1\n{'A' * 43}=\n",
        "log\n1\nAAAA\n",
        f"log\n1\n{'A' * 43}=\nextension\n",
        f"log\n1\n{'A' * 42}B=\n",
        f"log\n{'9' * 30}\n{'A' * 43}=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        parse_checkpoint(text)


@pytest.mark.parametrize("text", ["", "a+b", "log+00000000+AAAA", "log+zz+" + "A" * 44, "lo g+00000000+" + "A" * 44])
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        parse_verifier_key(text)
