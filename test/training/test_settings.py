import argparse
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vega3d_ros.training import settings
from vega3d_ros.training.loop import Schedule, TrainingError
from vega3d_ros.training.settings import load_settings
from vega3d_ros.training.train_fusion import FusionTraining
from vega3d_ros.training.train_language import LanguageTraining
from vega3d_ros.training.train_prior import PriorTrainingConfig
from vega3d_ros.training.train_vision_tower import VisionTowerTraining

RECIPES = Path(settings.__file__).parent / "recipes"


@dataclass(frozen=True)
class Stage:
    data: str = ""
    share: float = 0.5
    count: int = 3
    schedule: Schedule = field(default_factory=lambda: Schedule(1, 0.1))


def load(tmp_path, text, **overrides):
    file = tmp_path / "stage.yaml"
    file.write_text(text)
    return load_settings(Stage, file, overrides)


def test_values_and_nested_values_are_read_and_the_command_line_wins(tmp_path):
    text = "share: 1\ncount: 4\nschedule:\n  steps: 9\n  learning_rate: 0.2\n"
    stage = load(tmp_path, text, data="here", count=5)
    assert stage == Stage("here", 1, 5, Schedule(9, 0.2))
    assert load(tmp_path, "") == Stage()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour: red", "unknown setting colour; known: data, share"),
        ("count: many", "count must be a valid integer, not 'many'"),
        ("schedule: 3", "schedule must hold settings by name"),
        ("schedule:\n  step: 3", r"unknown setting schedule.step \(did you mean steps\?\)"),
        ("- 1", "must hold settings by name"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, said):
    with pytest.raises(TrainingError, match=said):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"none\.yaml cannot be read"):
        load_settings(Stage, tmp_path / "none.yaml", {})


@pytest.mark.parametrize(
    ("name", "kind", "given"),
    [
        ("prior", PriorTrainingConfig, {"data": "d"}),
        ("semantic", VisionTowerTraining, {"data": "d"}),
        ("language", LanguageTraining, {}),
        ("fused", FusionTraining, {}),
        ("answers", FusionTraining, {}),
    ],
)
def test_the_shipped_recipes_fit_their_stages(name, kind, given):
    stage = load_settings(kind, RECIPES / f"{name}.yaml", given)
    assert stage.device == "cpu"


def test_steps_shorten_both_stages_of_the_prior():
    from vega3d_ros.training.command import _settings
    from vega3d_ros.training.train_prior import PriorTrainingConfig

    args = argparse.Namespace(device=None, config=None, stage="prior", steps=3)
    settings = _settings(PriorTrainingConfig, args, data="clips")
    assert (settings.vae.steps, settings.flow.steps) == (3, 3)
