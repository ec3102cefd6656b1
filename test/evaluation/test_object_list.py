"""`objects.json`: the object map at the end of a recording."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.fake_perceiver import FakePerceiver

from vega3d_ros.evaluation.bag_run import BagRun, run_bag
from vega3d_ros.models.checkpoints.auto_model import ELSEWHERE_NOTE
from vega3d_ros.perception.loading import load_ready
from vega3d_ros.perception.settings import Parameters

SHARED = Path(os.environ.get("VEGA3D_SHARED", Path(__file__).parents[3] / "shared"))
OFFICE = SHARED / "data" / "hololens_office_bag"
DETECTORS = SHARED / "data" / "detectors"
FIELDS = {
    *("id", "label", "score", "center", "size", "yaw", "views", "last_seen_s", "depth_source"),
}


def objects_of(bag, folder, perceiver, **parameters):
    """What ``objects.json`` holds after the bag was run, and its figures."""
    job = BagRun(
        bag=bag, name="bag", folder=folder, model_hash="0", parameters=Parameters(**parameters)
    )
    record = run_bag(job, perceiver, lambda _done, _all: None)
    assert "error" not in record
    return json.loads((folder / "objects.json").read_text()), record["figures"]


def assert_well_formed(listed, figures):
    assert set(listed) == {"frame_id", "objects"}
    assert listed["frame_id"] == figures["fixed_frame"]
    views = [item["views"] for item in listed["objects"]]
    assert views == sorted(views, reverse=True)
    assert len({item["id"] for item in listed["objects"]}) == len(views)
    for item in listed["objects"]:
        assert set(item) == FIELDS
        assert 0 <= item["score"] <= 1
        assert len(item["center"]) == len(item["size"]) == 3
        assert min(item["size"]) > 0
        assert -3.1416 <= item["yaw"] <= 3.1416
        assert 0 <= item["last_seen_s"] <= figures["recording_s"]


def test_it_lists_what_any_grounder_found(drive_bag, tmp_path):
    listed, figures = objects_of(
        drive_bag.path, tmp_path, FakePerceiver(), keyframe_translation_m=0.079
    )
    assert_well_formed(listed, figures)
    assert len(listed["objects"]) == figures["remembered"] > 0


@pytest.mark.parametrize(
    ("model", "truth", "told"),
    [
        ("nano", "none", True),
        ("nano", "auto", False),
        ("photo-cpu", "none", False),
    ],
)
def test_the_report_says_where_nano_knows_nothing(drive_bag, tmp_path, model, truth, told):
    job = BagRun(
        bag=drive_bag.path,
        name="bag",
        folder=tmp_path,
        model_hash="0",
        truth=truth,
        parameters=Parameters(model=model, keyframe_translation_m=0.079),
    )
    record = run_bag(job, FakePerceiver(), lambda _done, _all: None)
    assert (ELSEWHERE_NOTE in record["notes"]) == told


def test_real_furniture_is_listed_in_the_map(tmp_path, monkeypatch):
    if not (OFFICE.is_dir() and DETECTORS.is_dir()):
        pytest.skip(f"{OFFICE} and {DETECTORS} are not both here; VEGA3D_SHARED may name a root")
    monkeypatch.setenv("VEGA3D_MODELS", str(DETECTORS))
    listed, figures = objects_of(OFFICE, tmp_path, load_ready("photo-cpu", device="cpu"))
    assert_well_formed(listed, figures)
    assert listed["frame_id"] == "map"
    assert "depth" in {item["depth_source"] for item in listed["objects"]}
    assert {"dining table", "couch"} <= {item["label"] for item in listed["objects"]}
