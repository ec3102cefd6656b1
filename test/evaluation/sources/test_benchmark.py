"""Tests of the readers on small data in the published layouts."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import benchmark_layouts as layouts

from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources import plain_pickle
from vega3d_ros.evaluation.sources.scannet import FIXED_FRAME, ScanNetScenes, read_infos
from vega3d_ros.evaluation.sources.vsi_bench import Videos
from vega3d_ros.evaluation.tasks import TASKS, located
from vega3d_ros.sensing.video import VideoError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return layouts.video3dllm(tmp_path_factory.mktemp("video3dllm"))


@pytest.fixture(scope="module")
def vsi(tmp_path_factory):
    return layouts.vsi_bench(tmp_path_factory.mktemp("vsi"))


def _read(value, protocol, tmp_path):
    path = tmp_path / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return plain_pickle.load(path)


LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
PLAIN = st.recursive(
    LEAF | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
    ),
    max_leaves=10,
)


@given(PLAIN, st.integers(2, 5))
def test_plain_data_is_read_as_pickle_reads_it(tmp_path_factory, value, protocol):
    assert _read(value, protocol, tmp_path_factory.getbasetemp()) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_are_read_from_pickles(protocol, tmp_path):
    shared = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = {
        "shared": [shared, shared],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "scalar": np.float64(2.5),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 9)),
    }
    found = _read(value, protocol, tmp_path)
    np.testing.assert_array_equal(found["shared"][0], shared)
    assert found["shared"][0] is found["shared"][1]
    for name in ("fortran", "big", "flags", "empty"):
        np.testing.assert_array_equal(found[name], value[name])
        assert found[name].dtype == value[name].dtype
    assert found["scalar"] == 2.5


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize(
    "value", [Evil(), np.array([Evil()], object), {"a": [Evil()]}, np.array(["text"]), os.getcwd]
)
def test_pickles_of_anything_else_are_refused_and_never_run(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(plain_pickle.PlainPickleError, match=r"value\.pkl is no pickle of plain"):
        _read(value, 4, tmp_path)
    assert not (tmp_path / "made by a pickle").exists()


def test_damaged_pickles_are_refused(tmp_path):
    whole = pickle.dumps(layouts.infos(), 4)
    path = tmp_path / "value.pkl"
    for length in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(plain_pickle.PlainPickleError):
            plain_pickle.load(path)


@given(st.data())
def test_no_sequence_of_opcodes_runs_anything(tmp_path_factory, data):
    """Damage anywhere gives plain data or a refusal."""
    whole = bytearray(pickle.dumps({"a": np.arange(3.0), "b": [1, "x", (2.5, None)]}, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(bytes(whole))
    try:
        found = plain_pickle.load(path)
    except plain_pickle.PlainPickleError:
        return
    assert not callable(found)


def test_infos_hold_scannet_scenes(data):
    found = read_infos(data / "embodiedscan", "val")
    assert sorted(found) == sorted(layouts.SCENES)
    info = found[layouts.SCENES[0]]
    np.testing.assert_array_equal(info["axis_align_matrix"], layouts.ALIGN)
    assert info["images"][1]["visible_instance_ids"] == [1, 2]


def test_infos_may_be_json(data, tmp_path):
    found = read_infos(data / "embodiedscan", "val")
    items = [
        info
        | {
            "axis_align_matrix": info["axis_align_matrix"].tolist(),
            "depth_cam2img": info["depth_cam2img"].tolist(),
            "cam2img": None,
            "images": [{"img_path": image["img_path"]} for image in info["images"]],
        }
        for info in found.values()
    ]
    (tmp_path / "embodiedscan_infos_val.json").write_text(json.dumps({"data_list": items}))
    assert sorted(read_infos(tmp_path, "val")) == sorted(found)


def test_a_clip_of_a_scene(data):
    clip = ScanNetScenes(data).clip(layouts.SCENES[1], 3)
    assert len(clip) == 3
    assert clip.fixed_frame == FIXED_FRAME
    frame = clip.frames[1]
    assert frame.image.shape == (24, 32, 3)
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx) == (30, 31, 15.5)
    assert np.isnan(frame.depth_m[0, 0])
    assert frame.depth_m[5, 5] == pytest.approx(2.002)
    # The third of five images, 0.4 m along x of the scan; aligned, that is along y.
    np.testing.assert_allclose(frame.pose.translation, [0.5, 0.4, 1.3], atol=1e-6)
    np.testing.assert_allclose(frame.pose.rotation[:, 2], [0, 1, 0], atol=1e-6)


def test_frames_where_tracking_was_lost_are_left_out(tmp_path):
    data = layouts.video3dllm(tmp_path)
    image = data / "scannet/posed_images/scene0011_00/00010.txt"
    np.savetxt(image, np.full((4, 4), -np.inf))
    clip = ScanNetScenes(data).clip(layouts.SCENES[0], 5)
    assert len(clip) == 4


@pytest.mark.parametrize(
    ("gone", "match"),
    [
        ("embodiedscan/embodiedscan_infos_val.pkl", "embodiedscan_infos.*request EmbodiedScan"),
        ("scannet/posed_images/scene0011_00/00000.png", r"00000\.png is missing.*generate_image"),
        ("scannet/posed_images/scene0011_00/00020.txt", r"00020\.txt is missing.*generate_image"),
        ("scannet/posed_images/scene0011_00/00040.jpg", r"00040\.jpg is missing.*generate_image"),
    ],
)
def test_missing_files_are_named_with_where_to_get_them(gone, match, tmp_path):
    data = layouts.video3dllm(tmp_path)
    (data / gone).unlink()
    with pytest.raises(RunError, match=match) as caught:
        ScanNetScenes(data).clip(layouts.SCENES[0], 5)
    assert "rename" not in str(caught.value)


def test_renamed_annotations_are_recognised(tmp_path):
    data = layouts.video3dllm(tmp_path)
    for name, known in (("scanrefer_vg_val", "scanrefer_val"), ("sqa3d_test", "sqa3d_val")):
        right = data / f"processed/{name}_llava_style.json"
        right.rename(right.with_name(f"{known}_llava_style.json"))
        task = TASKS[name.split("_", maxsplit=1)[0]]
        with pytest.raises(RunError, match=rf"{known}_llava_style\.json is there: rename"):
            task.questions(data)


@pytest.mark.parametrize("text", ["[{}]", "{", "[1]", '[{"id": 1}]', "null"])
def test_annotations_of_another_layout_are_refused(text, tmp_path):
    (tmp_path / "processed").mkdir()
    (tmp_path / "processed/scanqa_val_llava_style.json").write_text(text)
    with pytest.raises(RunError, match="scanqa_val_llava_style"):
        TASKS["scanqa"].questions(tmp_path)


def test_official_prompts(data, vsi):
    prompts = {name: TASKS[name].questions(vsi if name == "vsi-bench" else data) for name in TASKS}
    assert prompts["scanrefer"][0].text == (
        "Identify the object according to the following description.\n"
        "This is a red chair. it is by the door."
    )
    assert prompts["multi3drefer"][1].known["description"] == "This is a long table."
    assert prompts["scanqa"][0].text == "What is at place 0? Answer the question simply."
    assert located(prompts["scan2cap"][0]) == (
        "Given an object located at (2.00, 0.00, 0.50) , describe the object in detail."
    )
    assert prompts["vsi-bench"][0].text == (
        "These are frames of a video.\nHow many chairs are there?\n"
        "Please answer the question using a single word or phrase."
    )
    assert prompts["vsi-bench"][4].text == (
        "These are frames of a video.\nHow to go on?\nOptions:\nA. back\nB. turn left\nC. wait\n"
        "Answer with the option's letter from the given choices directly."
    )


def test_a_clip_of_a_video(vsi):
    clip = Videos(vsi).clip("arkitscenes/47333462", 4)
    # Frames 0, 3, 7 and 11 of 12 at 10 a second, grey levels in steps of 20.
    assert [frame.stamp_ns for frame in clip.frames] == [0, 3 * 10**8, 7 * 10**8, 11 * 10**8]
    for frame, level in zip(clip.frames, (0, 60, 140, 220), strict=True):
        assert abs(float(frame.image.mean()) - level) < 8
    assert clip.frames[0].camera is None


def test_videos_that_cannot_be_read_are_named(vsi):
    with pytest.raises(RunError, match=r"no_such\.mp4 is missing.*nyu-visionx/VSI-Bench"):
        Videos(vsi).clip("scannet/no_such", 4)
    (vsi / "scannet" / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="no frames that can be decoded"):
        Videos(vsi).clip("scannet/broken", 4)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"question_type": "colour"}, "unknown type 'colour'"),
        ({"options": None, "question_type": "route_planning"}, "has no options"),
        ({"id": 1}, "two questions with the id 1"),
    ],
)
def test_odd_vsi_annotations_are_refused(change, match, tmp_path, vsi):
    rows = [json.loads(line) for line in (vsi / "test.jsonl").read_text().splitlines()]
    rows[0] |= change
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(RunError, match=match):
        TASKS["vsi-bench"].questions(tmp_path)
    rows[0].pop("question")
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(RunError, match="question"):
        TASKS["vsi-bench"].questions(tmp_path)


def test_the_layout_of_the_tests_is_a_real_pickle():
    """The reader sees array opcodes, not a rewriting of them."""
    whole = io.BytesIO(pickle.dumps(layouts.infos(), 4))
    names = {code.name for code, _, _ in pickletools.genops(whole)}
    assert {"REDUCE", "BUILD", "STACK_GLOBAL", "MEMOIZE"} <= names
