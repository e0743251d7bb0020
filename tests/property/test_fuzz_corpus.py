"""Every parser of untrusted octets against hostile forms of good ones, and whatever the fuzzer once found."""

import random
import time
from pathlib import Path

import pytest

from support.fuzz_targets import LIMIT_S, TARGETS, Seeds, hostile

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_forms(name: str) -> None:
    rng = random.Random(20_260_302)  # noqa: S311 - the same inputs in every run
    for seed in Seeds().of(name):
        TARGETS[name](seed)
        for octets in hostile(seed, rng):
            began = time.monotonic()
            TARGETS[name](octets)
            assert time.monotonic() - began < LIMIT_S, octets[:80]


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_before(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        TARGETS[name](path.read_bytes())
