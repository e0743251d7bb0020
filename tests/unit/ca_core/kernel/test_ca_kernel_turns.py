"""Short turns last as long as anybody asks for them."""

import sys
import threading

import pytest

from ca_core.kernel.turns import SHORT_S, short_turns


def test_the_last_to_leave_puts_back_what_was_before() -> None:
    before = sys.getswitchinterval()
    first, second = short_turns(), short_turns()
    first.__enter__()
    assert sys.getswitchinterval() == pytest.approx(SHORT_S)
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(SHORT_S)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == before


def test_a_shorter_interval_is_left_alone() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_S / 10)
    try:
        with short_turns():
            assert sys.getswitchinterval() < SHORT_S / 5
    finally:
        sys.setswitchinterval(before)


def test_threads_that_come_and_go_leave_it_as_it_was() -> None:
    before, barrier, failures = sys.getswitchinterval(), threading.Barrier(8), list[str]()

    def work() -> None:
        barrier.wait(30)
        for _ in range(200):
            try:
                with short_turns():
                    if sys.getswitchinterval() > SHORT_S * 1.01:
                        failures.append("long")
                    raise LookupError
            except LookupError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sys.getswitchinterval() == before
