"""Merkle trees over SHA-256 (RFC 6962 s2.1): hashes, proofs and their verification. Pure."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from ca_core.audit.errors import ProofRefused

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

RangeHash = Callable[[int, int], bytes]
"""The Merkle tree hash of the entries from the first index up to, and without, the second."""


def leaf_node(entry: bytes) -> bytes:
    """The hash of an entry as a leaf of the tree."""
    return sha256(b"\x00" + entry).digest()


def parent_node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(nodes: Sequence[bytes]) -> bytes:
    """The root over nodes in a row. All stand for subtrees of one size that is a power of two; the last may be less.

    Pairing neighbours and passing an odd last one up gives the RFC's split at the largest power of two.
    """
    if not nodes:
        return EMPTY_ROOT
    row = list(nodes)
    while len(row) > 1:
        pairs = [parent_node(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        if len(row) % 2:
            pairs.append(row[-1])
        row = pairs
    return row[0]


def split_at(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def prove_inclusion(index: int, size: int, subtree: RangeHash) -> list[bytes]:
    """The audit path of an entry in the tree of that size (RFC 6962 s2.1.1), from the leaf up."""
    if not 0 <= index < size:
        raise ProofRefused(f"no entry {index} in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + split_at(high - low)
        if index < middle:
            path.append(subtree(middle, high))
            high = middle
        else:
            path.append(subtree(low, middle))
            low = middle
    path.reverse()
    return path


def prove_consistency(old_size: int, size: int, subtree: RangeHash) -> list[bytes]:
    """The proof that the tree of `old_size` is the beginning of the one of `size` (RFC 6962 s2.1.2)."""
    if not 0 <= old_size <= size:
        raise ProofRefused(f"a tree of {size} does not follow one of {old_size}")
    if old_size in (0, size):
        return []
    path: list[bytes] = []
    low, high = 0, size
    while old_size != high:
        middle = low + split_at(high - low)
        if old_size <= middle:
            path.append(subtree(middle, high))
            high = middle
        else:
            path.append(subtree(low, middle))
            low = middle
    if low != 0:
        path.append(subtree(low, high))
    path.reverse()
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Accepts iff the proof leads from the leaf node to the root. Raises: ProofRefused.  Spec: RFC 9162 s2.1.3.2."""
    if not 0 <= index < size:
        raise ProofRefused("no such entry")
    fn, sn, running = index, size - 1, leaf
    for node in proof:
        if sn == 0:
            raise ProofRefused("the proof is too long")
        if fn & 1 or fn == sn:
            running = parent_node(node, running)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            running = parent_node(running, node)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or running != root:
        raise ProofRefused("the proof does not lead to the root")


def verify_consistency(old_size: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Accepts iff the proof leads to both roots. Raises: ProofRefused.  Spec: RFC 9162 s2.1.4.2."""
    if not 0 <= old_size <= size:
        raise ProofRefused("the later tree is smaller")
    if old_size in (0, size):
        expected = EMPTY_ROOT if old_size == 0 else root
        if proof or old_root != expected:
            raise ProofRefused("the roots of equal trees differ, or a proof where none is needed")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofRefused("the proof is empty")
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old_running = running = path[0]
    for node in path[1:]:
        if sn == 0:
            raise ProofRefused("the proof is too long")
        if fn & 1 or fn == sn:
            old_running, running = parent_node(node, old_running), parent_node(node, running)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            running = parent_node(running, node)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or old_running != old_root or running != root:
        raise ProofRefused("the proof does not lead to both roots")
