import numpy as np
import pytest

from vega3d_ros.core.geometry import SE3
from vega3d_ros.simulation.dataset import ClipDataset, ClipRecord, DatasetError, write_shard


def _record(seed):
    rng = np.random.default_rng(seed)
    pose = SE3.from_quaternion([0.5, -0.5, 0.5, -0.5], [seed, 0, 1])
    truth = {
        "index": seed,
        "fixed_frame": "map",
        "camera": {"width": 224, "height": 168, "fx": 200.0, "fy": 200.0, "cx": 111.5, "cy": 83.5},
        "stamps_ns": [seed * 100 + 1, seed * 100 + 2],
        "poses": [pose.matrix.tolist(), pose.matrix.tolist()],
    }
    depth = rng.uniform(0.5, 6, (2, 84, 112)).astype(np.float16)
    depth[:, 0, 0] = 0
    return ClipRecord(
        rng.integers(0, 255, (2, 168, 224, 3), dtype=np.uint8),
        depth,
        rng.integers(0, 5, (2, 84, 112), dtype=np.uint8),
        truth,
    )


@pytest.fixture
def folder(tmp_path):
    write_shard(tmp_path, "train", 0, [_record(0), _record(1)])
    write_shard(tmp_path, "train", 1, [_record(2)])
    return tmp_path


def test_round_trip(folder):
    dataset = ClipDataset(folder, "train")
    assert len(dataset) == 3
    for seed in (2, 0, 1):
        expected, record = _record(seed), dataset[seed]
        np.testing.assert_array_equal(record.rgb, expected.rgb)
        np.testing.assert_array_equal(record.depth, expected.depth)
        np.testing.assert_array_equal(record.instance, expected.instance)
        assert record.truth == expected.truth
        assert dataset.truths[seed]["index"] == seed


def test_frames_carry_depth_pose_and_camera(folder):
    clip = ClipDataset(folder, "train").frames(2)
    record = _record(2)
    assert [frame.stamp_ns for frame in clip.frames] == [201, 202]
    assert clip.fixed_frame == "map"
    frame = clip.frames[1]
    np.testing.assert_array_equal(frame.image, record.rgb[1])
    assert np.isnan(frame.depth_m[:2, :2]).all()
    assert np.isfinite(frame.depth_m).sum() == frame.depth_m.size - 4
    np.testing.assert_array_equal(frame.depth_m[2::2, 3::2], record.depth[1, 1:, 1:])
    np.testing.assert_allclose(frame.pose.translation, [2, 0, 1])
    assert (frame.camera.width, frame.camera.fx) == (224, 200)


def test_a_shard_counts_only_once_its_json_is_there(folder):
    (folder / "train" / "shard_00001.json").unlink()
    assert len(ClipDataset(folder, "train")) == 2


def test_damage_is_named(folder):
    with pytest.raises(DatasetError, match="vega3d simulate clips"):
        ClipDataset(folder, "heldout")
    broken = folder / "train" / "shard_00001.rgb.npy"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"shard_00001\.rgb\.npy cannot be read"):
        _ = ClipDataset(folder, "train")[2]
    write_shard(folder, "train", 1, [_record(3)])
    np.save(folder / "train" / "shard_00001.depth.npy", np.zeros((2, 2, 84, 112), np.float16))
    with pytest.raises(DatasetError, match="differ in length"):
        _ = ClipDataset(folder, "train")[2]
    (folder / "train" / "shard_00000.json").write_text("[{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        ClipDataset(folder, "train")
