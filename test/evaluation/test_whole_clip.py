from types import SimpleNamespace

import pytest

from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.whole_clip import observe_whole


@pytest.mark.parametrize("left_out", [0, 3])
def test_a_clip_that_was_not_read_whole_is_not_evaluated(left_out):
    scene = SimpleNamespace(frames_left_out=left_out)
    perceiver = SimpleNamespace(observe=lambda _: scene)
    if not left_out:
        assert observe_whole(perceiver, range(8)) is scene
        return
    with pytest.raises(RunError, match=r"oldest 3 of 8 frames .* fewer frames"):
        observe_whole(perceiver, range(8))
