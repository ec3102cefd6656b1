"""What the node says on its console."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vega3d_ros.perception.worker import Status
from vega3d_ros.ros.diagnostics import Facts, InputFacts, diagnose
from vega3d_ros.ros.health import REPEAT_S, Console, ready_line

IMAGE = InputFacts(topic="/cam/image", publishers=1, reliability="reliable", age_s=0.1)
FINE = Facts(
    active=True,
    active_s=60.0,
    image=IMAGE,
    camera_info=InputFacts(topic="/cam/camera_info", publishers=1, age_s=0.1),
    depth=InputFacts(topic="/cam/depth"),
    status=Status.READY,
    model="nano",
    device="cpu",
    grounder="TokenHeadGrounder (any words)",
    fixed_frame="map",
    posed=True,
    has_camera=True,
    scenes=5,
)


def told(console, facts, now_s=0.0):
    return [line for _, line in console.lines(facts, diagnose(facts), now_s)]


def test_one_line_tells_model_device_grounder_and_topics_when_the_node_is_ready():
    console = Console()
    assert told(console, replace(FINE, status=Status.LOADING))[0].startswith("model: loading nano")
    (line,) = told(console, FINE)
    assert line == (
        "ready: model nano on cpu, grounder TokenHeadGrounder (any words); listens to "
        "/cam/image, /cam/camera_info, /cam/depth, TF to map"
    )
    assert told(console, FINE, 1e6) == []
    told(console, replace(FINE, active=False))
    assert told(console, FINE, 2e6) == [ready_line(FINE)]  # it was activated anew
    assert "no TF" in ready_line(replace(FINE, fixed_frame=""))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"image": replace(IMAGE, publishers=0)}, "input: /cam/image has no publisher"),
        ({"image": replace(IMAGE, age_s=9.0)}, "input: no image on /cam/image for 9 s"),
        ({"has_camera": False}, "input: no camera_info on /cam/camera_info"),
        (
            {"posed": False, "details": {"no transform": "there is no frame map"}},
            "transforms: there is no frame map",
        ),
        ({"clip_failure": "out of range"}, "inference: out of range"),
    ],
)
def test_a_silent_node_says_why_once(change, line):
    console, facts = Console(), replace(FINE, **change)
    told(console, replace(facts, active_s=1.0))
    assert told(console, replace(facts, active_s=1.0)) == []  # publishers are still being found
    (first,) = told(console, facts, 100.0)
    assert first.startswith(line)
    assert told(console, facts, 100.0 + REPEAT_S / 2) == []
    assert told(console, facts, 100.0 + REPEAT_S) == [first]


def test_a_count_that_goes_on_is_no_news():
    console = Console()
    told(console, FINE)
    for age_s in (7.0, 8.0, 9.5):
        lines = told(console, replace(FINE, image=replace(IMAGE, age_s=age_s)), age_s)
        assert len(lines) == (age_s == 7.0)


def test_another_reason_is_told_at_once():
    console = Console()
    told(console, FINE)
    assert told(console, replace(FINE, image=replace(IMAGE, publishers=0)), 10.0)
    assert told(console, replace(FINE, has_camera=False), 11.0)
