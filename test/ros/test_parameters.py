from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import yaml

from vega3d_ros.perception.settings import ParameterError, Parameters

CONFIG = Path(__file__).parents[2] / "config" / "perception.yaml"


def test_the_yaml_file_holds_every_parameter_with_its_default():
    values = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    defaults = {
        item.name: list(item.default) or [""] if isinstance(item.default, tuple) else item.default
        for item in fields(Parameters)
    }
    assert values == defaults
    assert {name: type(value) for name, value in values.items()} == {
        name: type(value) for name, value in defaults.items()
    }


def test_the_yaml_file_explains_every_parameter():
    lines = CONFIG.read_text().splitlines()
    for item in fields(Parameters):
        number = next(
            i for i, line in enumerate(lines) if line.strip().startswith(f"{item.name}:")
        )
        assert lines[number - 1].strip().startswith("#"), item.name


def test_ranges_in_the_yaml_file_are_those_declared():
    text = CONFIG.read_text()
    for item in fields(Parameters):
        low, high = item.metadata["low"], item.metadata["high"]
        if low is not None:
            before = text[: text.index(f"    {item.name}:")].rstrip().splitlines()
            comment = " ".join(line.strip("# ") for line in before[-3:])
            low, high = (f"{v:g}" if isinstance(v, float) else str(v) for v in (low, high))
            assert f"[{low}, {high}]" in comment, item.name


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"model": ""}, "`model`"),
        ({"image_qos": "best"}, "`image_qos`"),
        ({"dtype": "float16"}, "`dtype`"),
        ({"acceleration": "yes"}, "`acceleration`"),
        ({"fixed_frame": "/map"}, "slash"),
        ({"device": "cud"}, "did you mean 'cuda'"),
        ({"clip_length": 9}, "`clip_capacity`"),
        ({"keyframe_min_interval_s": 3.0}, "`keyframe_max_interval_s`"),
        ({"queries": ("a", "a")}, "`queries`"),
    ],
)
def test_what_does_not_go_together_is_named(values, word):
    with pytest.raises(ParameterError, match=word):
        Parameters(**values)


def test_a_rate_is_kept_by_leaving_out_images():
    assert Parameters(publish_rate=0.0).clip_settings.policy.min_interval_s == 0.05
    assert Parameters(publish_rate=4.0).clip_settings.policy.min_interval_s == 0.25
    assert Parameters(publish_rate=1000.0).clip_settings.policy.min_interval_s == 0.05


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices_are_known_by_their_form(device):
    assert Parameters(device=device).device == device


def test_known_accelerations_are_those_of_the_prior():
    from vega3d_ros.models.priors.base import Acceleration
    from vega3d_ros.perception.settings import _CHOICES

    assert _CHOICES["acceleration"] == get_args(Acceleration)


@pytest.mark.parametrize("name", ["cpu", "gpu_8gb", "gpu_24gb"])
def test_presets_are_parameters_that_fit_together(name):
    document = yaml.safe_load((CONFIG.parent / "models" / f"{name}.yaml").read_text())
    values = document["/**"]["ros__parameters"]
    assert {"model", "device", "dtype", "acceleration"} <= set(values)
    Parameters(**values)


def test_the_model_is_named_shortly():
    assert Parameters(model="nano").model_name == "nano"
    assert Parameters(model="/models/my-nano/").model_name == "my-nano"


def test_the_policy_is_that_of_the_parameters():
    policy = Parameters(
        keyframe_translation_m=1.0, keyframe_max_interval_s=5.0
    ).clip_settings.policy
    assert (policy.translation_m, policy.max_interval_s) == (1.0, 5.0)
