import numpy as np
import pytest

from vega3d_ros.simulation.camera_path import TICK_S, CameraPathError, robot_path
from vega3d_ros.simulation.planning import plan_home
from vega3d_ros.simulation.rooms import Room


@pytest.mark.parametrize("seed", range(3))
def test_drives_smoothly_and_keeps_clear(seed):
    rng = np.random.default_rng(seed)
    home = plan_home(rng, "heldout")
    states = robot_path(home, rng, 30.0)
    assert states.shape == (round(30 / TICK_S) + 1, 3)
    assert all(home.is_free(x, y, 0.15) for x, y, _ in states[::5])
    step = np.diff(states, axis=0)
    speed = np.hypot(step[:, 0], step[:, 1]) / TICK_S
    assert speed.max() < 0.51
    assert np.abs(np.diff(speed)).max() / TICK_S < 0.7
    assert np.abs(step[:, 2]).max() / TICK_S < 0.9
    # It drives where it looks (a differential drive does not slide sideways).
    heading = states[1:, 2]
    sideways = step[:, 1] * np.cos(heading) - step[:, 0] * np.sin(heading)
    assert np.abs(sideways).max() < 1e-9
    assert speed.sum() * TICK_S > 2.0


def test_same_seed_same_drive():
    home = plan_home(np.random.default_rng(5), "train")
    first, again = (robot_path(home, np.random.default_rng(1), 5.0) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_no_floor_to_drive_on():
    with pytest.raises(CameraPathError, match="another seed"):
        robot_path(Room(0.5, 0.5, 2.5, (), furniture=False), np.random.default_rng(0), 5.0)
