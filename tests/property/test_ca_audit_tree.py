"""Trees of any size: built in any steps they are one tree, their proofs verify, and every changed bit is refused."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_core.audit.errors import AuditError, ProofRefused
from ca_core.audit.merkle import (
    EMPTY_ROOT,
    leaf_node,
    parent_node,
    prove_consistency,
    prove_inclusion,
    verify_consistency,
    verify_inclusion,
)
from ca_core.audit.note import parse_note, parse_verifier_key
from ca_core.audit.tiles import TiledTree, TreeBuilder, parse_bundle, parse_tile_path


def entry(number: int) -> bytes:
    return sha256(b"%d" % number).digest()


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 s2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_node(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return parent_node(by_definition(leaves[:k]), by_definition(leaves[k:]))


class Tree:
    """Grown by steps, each through a new builder from what the one before stored: as the sequencer does it."""

    def __init__(self, steps: list[int]) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.size = 0
        self.root = EMPTY_ROOT
        for step in steps:
            built = TreeBuilder(self.size, self.load)
            for number in range(self.size, self.size + step):
                built.append(entry(number))
            for level, position, hashes, is_new in built.changes():
                assert ((level, position) not in self.tiles) == is_new
                self.tiles[level, position] = hashes
            self.size, self.root = built.size, built.root()

    def load(self, level: int, position: int) -> bytes | None:
        return self.tiles.get((level, position))

    def of(self, size: int) -> TiledTree:
        return TiledTree(size, self.load)


sizes = st.lists(st.integers(1, 700), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(sizes, st.data())
def test_proofs_of_any_tree_verify_and_no_changed_bit_does(steps: list[int], data: st.DataObject) -> None:
    tree = Tree(steps)
    assert tree.root == by_definition([entry(number) for number in range(tree.size)])
    index = data.draw(st.integers(0, tree.size - 1))
    proof = prove_inclusion(index, tree.size, tree.of(tree.size).range_hash)
    leaf = leaf_node(entry(index))
    verify_inclusion(leaf, index, tree.size, proof, tree.root)
    for changed in altered(proof, data):
        with pytest.raises(ProofRefused):
            verify_inclusion(leaf, index, tree.size, changed, tree.root)
    for other in {index ^ 1, index + 1, tree.size - 1 - index} - {index}:
        with pytest.raises(ProofRefused):
            verify_inclusion(leaf, other, tree.size, proof, tree.root)
    with pytest.raises(ProofRefused):
        verify_inclusion(flipped(leaf, data), index, tree.size, proof, tree.root)
    with pytest.raises(ProofRefused):
        verify_inclusion(leaf, index, tree.size, proof, flipped(tree.root, data))


@settings(max_examples=25, deadline=None)
@given(sizes, st.data())
def test_every_earlier_tree_is_consistent_and_no_other(steps: list[int], data: st.DataObject) -> None:
    tree = Tree(steps)
    old_size = data.draw(st.integers(0, tree.size))
    now = tree.of(tree.size)
    old_root = tree.of(old_size).root()
    proof = prove_consistency(old_size, tree.size, now.range_hash)
    verify_consistency(old_size, tree.size, proof, old_root, tree.root)
    for changed in altered(proof, data):
        with pytest.raises(ProofRefused):
            verify_consistency(old_size, tree.size, changed, old_root, tree.root)
    with pytest.raises(ProofRefused):
        verify_consistency(old_size, tree.size, proof, flipped(old_root, data), tree.root)
    if old_size:
        with pytest.raises(ProofRefused):
            verify_consistency(old_size, tree.size, proof, old_root, flipped(tree.root, data))


def altered(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    """One bit changed, one node more, one less, two in the other order."""
    found = [[*proof, bytes(32)], [bytes(32), *proof]]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        found.append([*proof[:at], flipped(proof[at], data), *proof[at + 1 :]])
        found.append(proof[:-1])
    if len(proof) > 1 and proof[0] != proof[1]:
        found.append([proof[1], proof[0], *proof[2:]])
    return found


def flipped(octets: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, len(octets) * 8 - 1))
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=120).map(str.encode))
def test_parsers_refuse_or_read_whatever_comes(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    for parse, refusals in (
        (lambda: parse_note(octets), AuditError),
        (lambda: parse_verifier_key(text), AuditError),
        (lambda: parse_bundle(octets), ValueError),
        (lambda: parse_tile_path(text), ValueError),
    ):
        try:
            parse()
        except refusals:
            continue
