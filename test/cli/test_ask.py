import re

import cv2
import numpy as np
import pytest
from support.onnx_graphs import write_constant

from vega3d_ros.cli import ask
from vega3d_ros.cli import main as cli
from vega3d_ros.demo.command import shipped_bag


@pytest.fixture(scope="module")
def bag():
    return str(shipped_bag())


def test_a_recording_is_asked_and_its_frames_are_drawn(bag, tmp_path, capsys):
    picture = tmp_path / "new" / "frames.png"
    code = cli.main(
        ["ask", "Is there a bed?", "--bag", bag, "--frames", "8", "--out", str(picture)]
    )
    out = capsys.readouterr().out
    assert code == 0
    assert re.search(r"Is there a bed\?\n  \S+  \((model|measured), \d+% sure\)", out)
    assert re.search(r"bed at \(-?\d+\.\d+, .* m in map, .* score", out)
    assert cv2.imread(str(picture)).shape[1] > 3 * 400


def test_a_model_without_networks_measures_and_refuses_the_rest(
    bag, tmp_path, capsys, monkeypatch
):
    file = tmp_path / "yolox_nano.onnx"  # sees nothing
    write_constant(file, np.zeros((1, 3549, 85)), input_shape=[1, 3, 416, 416])
    monkeypatch.setenv("VEGA3D_MODELS", str(tmp_path))
    ask_it = ["ask", "--bag", bag, "--frames", "2", "--model", "photo-cpu"]
    assert cli.main([*ask_it, "How many chairs are there?"]) == 0
    assert re.search(r"there\?\n  \S+  \(measured, \d+% sure\)", capsys.readouterr().out)
    assert cli.main([*ask_it, "What is the room used for?"]) == 2
    assert "there is no language model to answer it" in capsys.readouterr().err


def test_a_video_of_the_frames_can_be_written(bag, tmp_path, capsys):
    video = tmp_path / "frames.mp4"
    assert (
        cli.main(["ask", "Is there a bed?", "--bag", bag, "--frames", "2", "--out", str(video)])
        == 0
    )
    shown = cv2.VideoCapture(str(video))
    assert shown.grab()
    assert shown.grab()
    assert not shown.grab()


def test_pictures_without_poses_are_answered_and_that_is_said(tmp_path, capsys, bag):
    from vega3d_ros.core.frames import Clip

    (frame,) = Clip.from_bag(bag, 1).frames
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(frame.picture, cv2.COLOR_RGB2BGR))
    assert cli.main(["ask", "Is there a bed?", "--images", str(tmp_path)]) == 0
    assert "No poses" in capsys.readouterr().out


def test_a_node_hands_out_no_frames_to_draw_into(tmp_path, capsys):
    assert cli.main(["ask", "Why?", "--node", "--out", str(tmp_path / "a.png")]) == 2
    assert "--out draws into frames" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_named(bag, tmp_path, capsys):
    target = str(tmp_path / "frames.nonsense")
    assert cli.main(["ask", "Why?", "--bag", bag, "--frames", "1", "--out", target]) == 2
    assert "frames.nonsense" in capsys.readouterr().err


def test_what_is_asked_of_must_be_named_once(capsys):
    with pytest.raises(SystemExit):
        cli.main(["ask", "Why?"])
    assert "--bag" in capsys.readouterr().err
    assert ask.NODE == "/perception"
