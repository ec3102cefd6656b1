from __future__ import annotations

from dataclasses import replace

import pytest

from vega3d_ros.models.checkpoints.auto_model import SIMULATION_NOTE
from vega3d_ros.perception.worker import Status
from vega3d_ros.ros.diagnostics import (
    ERROR,
    OK,
    WARN,
    Facts,
    InputFacts,
    Meter,
    Statistics,
    diagnose,
    resident_mib,
    why_no_scene,
)

IMAGE = InputFacts(
    topic="/cam/image",
    publishers=1,
    type="sensor_msgs/msg/Image",
    reliability="best_effort",
    age_s=0.1,
)
DEPTH = InputFacts(topic="/cam/depth", publishers=1, age_s=0.1)
FINE = Facts(
    active=True,
    active_s=60.0,
    image=IMAGE,
    camera_info=InputFacts(topic="/cam/camera_info", publishers=1, age_s=0.1),
    status=Status.READY,
    model="nano",
    fixed_frame="map",
    posed=True,
    has_camera=True,
    scenes=5,
)


def diagnosis(name, facts):
    return next(item for item in diagnose(facts) if item.name == name)


def test_all_is_well():
    assert [item.level for item in diagnose(FINE)] == [OK] * 4


@pytest.mark.parametrize(
    ("name", "change", "level", "words"),
    [
        ("input", {"image": replace(IMAGE, publishers=0)}, WARN, ["/cam/image", "remap"]),
        (
            "input",
            {"image": replace(IMAGE, mismatch="RELIABILITY differs")},
            ERROR,
            ["RELIABILITY"],
        ),
        (
            "input",
            {"image": replace(IMAGE, age_s=7.0)},
            WARN,
            ["for 7 s", "fastdds_large_images.xml"],
        ),
        ("input", {"image": replace(IMAGE, age_s=None)}, WARN, ["for 60 s"]),
        ("input", {"image": replace(IMAGE, lost=3)}, WARN, ["3 images lost"]),
        ("input", {"has_camera": False}, WARN, ["/cam/camera_info", "no 3D objects"]),
        ("input", {"unpaired_depth": "30 ms later"}, WARN, ["30 ms later"]),
        ("input", {"depth": DEPTH}, OK, ["images arrive"]),
        ("input", {"depth": replace(DEPTH, age_s=None)}, WARN, ["/cam/depth", "for 60 s"]),
        ("input", {"depth": replace(DEPTH, mismatch="it is TYPE")}, WARN, ["it is TYPE"]),
        ("transforms", {"late_transforms": "0.45 s"}, WARN, ["0.45 s"]),
        ("input", {"details": {"no stamp": "the stamp is zero"}}, ERROR, ["zero"]),
        ("input", {"details": {"unreadable image": "yuv"}}, ERROR, ["yuv"]),
        ("input", {"details": {"late": "stamps stand still"}}, WARN, ["stamps stand still"]),
        ("input", {"jumps_back": 9}, WARN, ["set back 9 times", "second publisher"]),
        ("input", {"details": {"unregistered depth": "depth is in ir"}}, WARN, ["ir"]),
        (
            "transforms",
            {"posed": False, "details": {"no transform": "map is unknown"}},
            WARN,
            ["map", "optical"],
        ),
        ("transforms", {"has_transforms": False}, WARN, ["tf2_msgs"]),
        ("transforms", {"fixed_frame": "", "posed": False}, OK, ["optical"]),
        ("model", {"status": Status.LOADING, "loading_s": 12.0}, WARN, ["loading nano", "12 s"]),
        (
            "model",
            {"status": Status.LOADING, "loading": "language model"},
            WARN,
            ["now: language model"],
        ),
        (
            "model",
            {"model_note": SIMULATION_NOTE},
            WARN,
            ["simulation only", "photo-cpu"],
        ),
        ("model", {"status": Status.FAILED, "failure": "no folder"}, ERROR, ["no folder"]),
        ("inference", {"busy_s": 42.0}, WARN, ["42 s"]),
        ("inference", {"scenes": 0}, OK, ["no scene"]),
        (
            "inference",
            {"skipped": 7, "keyframes": 9},
            WARN,
            ["overloaded: 7 of 9 keyframes skipped", "clip_length"],
        ),
        ("inference", {"clip_failure": "out of range"}, ERROR, ["out of range"]),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(name, change, level, words):
    found = diagnosis(name, replace(FINE, **change))
    assert found.level == level
    for word in words:
        assert word in found.message


def test_a_reliable_publisher_is_not_told_about_best_effort_losses():
    facts = replace(FINE, image=replace(IMAGE, age_s=9.0, reliability="reliable"))
    assert "best-effort" not in diagnosis("input", facts).message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": replace(IMAGE, publishers=0)}, "/cam/image has no publisher; remap"),
        ({"image": replace(IMAGE, age_s=None)}, "/cam/image is published, but no image has come"),
        ({"clip_failure": "out of range"}, "inference: out of range"),
        ({}, ""),
    ],
)
def test_a_request_that_waited_in_vain_for_a_scene_is_told_why_there_is_none(change, words):
    assert words in why_no_scene(replace(FINE, **change))


def test_hardware_is_named_and_the_device_is_the_one_chosen():
    found = {item.name: item.hardware for item in diagnose(replace(FINE, device="cuda:0"))}
    assert found == {
        "input": "/cam/image", "transforms": "/cam/image", "model": "cuda:0",
        "inference": "cuda:0",
    }  # fmt: skip


def test_an_inactive_node_is_no_fault():
    assert all(item.level == OK for item in diagnose(Facts(active=False)))


def test_counts_are_reported():
    facts = replace(FINE, drops={"late": 2}, lacks={"no depth": 3}, rates={"images": "30.00 Hz"})
    values = diagnosis("input", facts).values
    assert values["dropped: late"] == "2"
    assert values["missing: no depth"] == "3"
    assert values["images"] == "30.00 Hz"
    assert values["image topic"] == "/cam/image"


def test_a_meter_measures_the_last_seconds():
    meter = Meter()
    assert meter.rate_hz(0) == 0.0
    for index in range(20):
        meter.tick(index * 100_000_000)
    assert meter.rate_hz(2_000_000_000) == pytest.approx(10.0)
    assert meter.rate_hz(60_000_000_000) == 0.0
    assert meter.count == 20


def test_a_bag_that_loops_is_no_fault():
    assert diagnosis("input", replace(FINE, jumps_back=1)).level == OK


def test_health_forgets_on_demand():
    statistics = Statistics()
    statistics.tick("images")
    statistics.count("failures")
    statistics.note("last", "x")
    assert (statistics.recent("images"), statistics.recent("never")) == (1, 0)
    assert statistics.snapshot() == {"failures": "1", "last": "x"}
    statistics.forget()
    assert statistics.snapshot() == {}
    assert statistics.rates() == {}


def test_memory_is_that_of_this_process():
    assert 5 < resident_mib() < 100_000
