"""All stages, a few steps each, from rendered clips to a model folder that answers."""

import pytest

from vega3d_ros.cli.main import main
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.simulation.clips import ClipFactory
from vega3d_ros.simulation.dataset import ClipDataset, write_shard
from vega3d_ros.simulation.renderer import RenderError
from vega3d_ros.training import pipeline
from vega3d_ros.training.loop import TrainingError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    try:
        factory = ClipFactory("train", 5, None)
        write_shard(folder / "clips", "train", 0, [factory.clip(i) for i in range(3)])
    except RenderError as error:
        pytest.skip(f"no rendering here: {error}")
    return folder


def train(stage, folder, out, *more, steps=1):
    base = ["train", stage, "--data", str(folder / "clips"), "--out", str(folder / out)]
    return main([*base, "--steps", str(steps), *map(str, more)])


@pytest.fixture(scope="module")
def trained(folder):
    assert train("semantic", folder, "semantic") == 0
    assert train("language", folder, "language") == 0
    stages = ("--semantic", folder / "semantic", "--language", folder / "language")
    stored = ("--tokens", folder / "tokens")
    assert train("fused", folder, "fused", *stages, *stored) == 0
    assert train("fused", folder, "blind", *stages, *stored, "--blind") == 0
    model = ("--model", folder / "fused" / "model")
    assert train("answers", folder, "answers", *stored, *model) == 0
    return folder


def test_five_stages_make_a_model_that_answers(trained):
    perceiver = Perceiver.from_pretrained(trained / "answers" / "model")
    scene = perceiver.observe(ClipDataset(trained / "clips", "train").frames(0))
    assert 0 < perceiver.modules.settings["listing_threshold"] < 1
    assert scene.ask("How many chairs can you see?").confidence > 0


def test_the_last_stage_freezes_what_its_detections_depend_on(trained):
    """Detections are stored once, so the tokens they come from may not change."""
    before, after = (
        Perceiver.from_pretrained(trained / run / "model").modules for run in ("fused", "answers")
    )
    for part in ("fusion", "positions"):
        old, new = getattr(before, part).state_dict(), getattr(after, part).state_dict()
        assert all((old[key] == new[key]).all() for key in old)
    old, new = before.objects.state_dict(), after.objects.state_dict()
    assert any((old[key] != new[key]).any() for key in old)


def test_a_blind_model_answers_alike_for_all_clips(trained):
    perceiver = Perceiver.from_pretrained(trained / "blind" / "model")
    clips = ClipDataset(trained / "clips", "train")
    answers = [perceiver.observe(clips.frames(i)).ask("What colour is the bed?") for i in (0, 1)]
    assert answers[0].text == answers[1].text
    assert answers[0].confidence == answers[1].confidence


def test_a_missing_stage_is_named(folder, capsys):
    missing = folder / "no"
    assert train("fused", folder, "x", "--semantic", missing, "--language", missing) != 0
    assert f"run `vega3d train semantic --out {missing}` first" in capsys.readouterr().err


def test_few_clips_train_with_a_warning(folder, caplog):
    assert train("language", folder, "few") == 0
    assert "of 3 training clips the last 1 choose the thresholds" in caplog.text
    assert "noise: raise --count" in caplog.text


@pytest.mark.parametrize(
    ("count", "trained", "warns"),
    [(2, 1, True), (12, 10, True), (500, 400, False), (6000, 5900, False)],
)
def test_a_fifth_of_the_clips_or_a_hundred_choose_the_thresholds(count, trained, warns, caplog):
    assert pipeline._trained(range(count)) == trained
    assert ("noise" in caplog.text) == warns


def test_one_clip_is_no_training():
    with pytest.raises(TrainingError, match=r"one training clip.*--count"):
        pipeline._trained(range(1))
