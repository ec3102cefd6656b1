import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.perception.out_of_memory import OutOfMemory, is_out_of_memory


class Device:
    """Doubles numbers, at most ``room`` at once."""

    def __init__(self, room):
        self.room, self.sizes, self.freed = room, [], 0

    def free(self):
        self.freed += 1

    def run(self, numbers):
        self.sizes.append(len(numbers))
        if len(numbers) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * number for number in numbers]


@given(st.lists(st.integers(), max_size=20), st.integers(1, 20))
def test_results_do_not_depend_on_the_memory_there_is(numbers, room):
    device = Device(room)
    policy = OutOfMemory(device.free)
    assert policy.batched(device.run, numbers, "numbers") == [2 * number for number in numbers]
    done = [size for size in device.sizes if size <= room]
    assert sum(done) == len(numbers)  # nothing is done twice
    assert policy.count == device.freed == len(device.sizes) - len(done)


def test_each_halving_is_reported_with_its_reason():
    device, said = Device(2), []
    policy = OutOfMemory(device.free)
    policy.report = said.append
    policy.batched(device.run, range(8), "keyframes")
    assert device.sizes == [8, 4, 2, 2, 2, 2]
    assert said == [
        "CUDA out of memory; keyframes are taken 4 at a time",
        "CUDA out of memory; keyframes are taken 2 at a time",
    ]


def test_one_item_is_tried_again_once_memory_was_freed():
    device = Device(0)

    def free():
        device.room = 1

    assert OutOfMemory(free).batched(device.run, [3], "numbers") == [6]
    device.room = 0
    with pytest.raises(torch.OutOfMemoryError):
        OutOfMemory(lambda: None).batched(device.run, [3], "numbers")
    assert device.sizes[-2:] == [1, 1]


def test_other_errors_are_raised_at_once():
    calls = []

    def fail(size):
        calls.append(size)
        raise RuntimeError("shapes differ")

    policy = OutOfMemory(lambda: None)
    with pytest.raises(RuntimeError, match="shapes differ"):
        policy.halved(fail, 4, "{}")
    assert (calls, policy.count) == ([4], 0)


def test_the_size_that_was_had_is_told():
    def run(size):
        if size > 3:
            raise MemoryError
        return "done"

    assert OutOfMemory(lambda: None).halved(run, 9, "{}") == ("done", 3)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("any"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_memory_that_ended(error, expected):
    assert is_out_of_memory(error) is expected
