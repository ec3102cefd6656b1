import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.mllms.qwen2_5_vl.packing import OBJECTS, PREFIX, Packed, additive, visible

pytestmark = pytest.mark.numeric


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=6))
def test_suffixes_lie_end_to_end(suffixes):
    packed = Packed.of(suffixes)
    for number, suffix in enumerate(suffixes):
        own = packed.owners == number
        assert packed.ids[own].tolist() == suffix
        assert packed.offsets[own].tolist() == list(range(len(suffix)))
        assert packed.ids[packed.ends[number]] == suffix[-1]


def test_a_suffix_sees_the_prefix_and_itself_only():
    keys = torch.tensor([PREFIX, PREFIX, 0, 0, 1])
    seen = visible(keys[2:], keys)
    assert seen.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]


def test_the_prefix_is_causal_and_sees_no_suffix():
    keys = torch.tensor([PREFIX, PREFIX, 0])
    assert visible(keys, keys).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_additive_mask_leaves_visible_scores_alone():
    mask = additive(torch.tensor([[True, False]]), torch.float32)
    assert mask[0, 0] == 0
    assert mask[0, 1] == torch.finfo(torch.float32).min


def test_object_tokens_are_seen_by_those_who_are_told_alone():
    owners = torch.tensor([PREFIX, OBJECTS, OBJECTS, 0, 1])
    mask = visible(owners[-2:], owners, torch.tensor([True, False]))
    assert mask.tolist() == [
        [True, True, True, True, False],
        [True, False, False, False, True],
    ]
