"""Interrupts that wait until nothing is half made."""

from __future__ import annotations

import os
import signal

import pytest

from vega3d_ros.replay.interrupts import HeldInterrupts, interruptible

pytestmark = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def steps():
    return []


def test_interrupt_between_two_steps_is_raised_at_the_check(number, steps):
    def work():
        with HeldInterrupts() as interrupts:
            interrupts.check()
            os.kill(os.getpid(), number)
            steps.append("the step is finished")
            interrupts.check()
            steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["the step is finished"]


def test_interrupt_after_the_last_check_is_not_lost(number):
    with pytest.raises(KeyboardInterrupt), HeldInterrupts():
        os.kill(os.getpid(), number)


def test_second_interrupt_does_not_wait(number, steps):
    def work():
        with HeldInterrupts():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == []


def test_failure_of_the_block_is_what_the_caller_sees(number):
    def work():
        with HeldInterrupts():
            os.kill(os.getpid(), number)
            msg = "the block failed"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="the block failed"):
        work()


def test_handlers_are_those_of_before_afterwards(number):
    before = signal.getsignal(number)
    with HeldInterrupts():
        assert signal.getsignal(number) != before
    with interruptible():
        pass
    assert signal.getsignal(number) == before
