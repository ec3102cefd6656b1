import pytest
import torch
from support.closeness import assert_close_to_magnitude
from torch.nn import functional

from vega3d_ros.core.token_grid import FEATURES
from vega3d_ros.models.grounders.token_head.box_coding import HEADINGS, OUTPUTS, REGRESSED
from vega3d_ros.models.grounders.token_head.head import GroundingHead, presence
from vega3d_ros.models.grounders.token_head.losses import box_loss, ground_loss

pytestmark = pytest.mark.numeric

DIM, TOKENS = 16, 5


def test_scores_are_cosines_over_temperature_with_not_here_last():
    torch.manual_seed(0)
    head = GroundingHead(DIM, width=8)
    scores = head.scores(
        torch.randn(TOKENS, DIM), torch.randn(TOKENS, FEATURES), torch.randn(3, DIM)
    )
    assert scores.shape == (3, TOKENS + 1)
    assert scores.abs().max() <= 1 / 0.07 * (1 + 1e-6)
    again = head.scores(torch.zeros(1, DIM), torch.zeros(1, FEATURES), torch.zeros(1, DIM))
    other = head.scores(torch.ones(1, DIM), torch.zeros(1, FEATURES), torch.zeros(1, DIM))
    assert torch.equal(again[:, -1], other[:, -1]), "not here is the same whatever is seen"


def test_presence_weighs_each_token_against_not_here_alone():
    scores = torch.tensor([[5.0, 5.0, -5.0, 2.0], [5.0, 4.0, 0.0, 6.0]])
    margins = torch.tensor([[3.0, 3.0, -7.0], [-1.0, -2.0, -6.0]])
    assert_close_to_magnitude(presence(scores), torch.sigmoid(margins), "elementwise")


def test_ground_loss_falls_when_the_right_tokens_win():
    wanted = torch.tensor([[0.5, 0.05, 0.0], [0.0, 0.0, 0.0]])
    good = ground_loss(torch.tensor([[9.0, 3.0, -9.0, 0.0], [-9.0, -9.0, -9.0, 0.0]]), wanted)
    bad = ground_loss(torch.tensor([[-9.0, 3.0, 9.0, 0.0], [9.0, -9.0, -9.0, 0.0]]), wanted)
    for part in ("contrast", "presence"):
        assert good[part] < 0.01 < bad[part]
    assert good["hit"] == 1
    assert bad["hit"] == 0


def test_of_the_tokens_that_show_nothing_meant_the_hardest_counts_beside_their_mean():
    losses = ground_loss(torch.tensor([[2.0, -1.0, 1.0, 0.0]]), torch.tensor([[0.5, 0.0, 0.0]]))
    right, easy, hard = functional.softplus(torch.tensor([-2.0, -1.0, 1.0]))
    expected = right + (easy + hard) / 2 + 0.2 * hard
    assert_close_to_magnitude(losses["presence"], expected, "elementwise")


def test_a_glimpse_is_neither_right_nor_wrong():
    wanted = torch.tensor([[0.5, 0.05]])
    one = ground_loss(torch.tensor([[4.0, 9.0, 0.0]]), wanted)
    other = ground_loss(torch.tensor([[4.0, -9.0, 0.0]]), wanted)
    assert torch.equal(one["contrast"], other["contrast"])
    assert torch.equal(one["presence"], other["presence"])


def test_box_loss_is_least_at_the_target():
    values = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    heading = torch.tensor([0.01, 0.3, 0.6, 0.99])
    elongation, behind = torch.ones(4), torch.tensor([True, True, False, True])
    raw = torch.full((4, OUTPUTS), -12.0)
    raw[:, :7], raw[:, 7:REGRESSED] = values, -3.0
    bins = ((heading * HEADINGS).long() % HEADINGS) + REGRESSED
    raw[torch.arange(4), bins] = 0.0
    best = box_loss(raw, values, heading, elongation, behind)
    for column in (0, 2, 3, 4, 6):
        moved = raw.clone()
        moved[:, column] += 0.3
        assert box_loss(moved, values, heading, elongation, behind) > best + 0.01
    turned = raw.clone()
    turned[:, REGRESSED:] = raw[:, REGRESSED:].roll(HEADINGS // 2, dims=1)
    assert box_loss(turned, values, heading, elongation, behind) > best + 1
    assert box_loss(turned, values, heading, torch.zeros(4), behind) < best + 1


def test_what_lies_behind_an_unmeasured_surface_does_not_count():
    values, raw = torch.zeros(2, 7), torch.zeros(2, OUTPUTS)
    args = (values, torch.zeros(2), torch.ones(2), torch.tensor([False, False]))
    moved = raw.clone()
    moved[:, 3] = 5.0
    assert torch.equal(box_loss(raw, *args), box_loss(moved, *args))
