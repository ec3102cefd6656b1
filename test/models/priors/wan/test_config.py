"""Settings of a Wan prior."""

from __future__ import annotations

import pytest

from vega3d_ros.core.settings import SettingsError, read_settings
from vega3d_ros.models.priors.base import PriorConfig, PriorError
from vega3d_ros.models.priors.files import load_config
from vega3d_ros.models.priors.wan.config import WanPriorConfig


def test_absent_settings_are_those_of_the_released_model() -> None:
    assert read_settings(WanPriorConfig, {}) == WanPriorConfig()
    assert WanPriorConfig().type == "wan"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blok": 1}, r"prior.blok \(did you mean block\?\)"),
        ({"timestep": 1001}, "prior.timestep must be less than or equal to 1000, not 1001"),
        ({"timestep": "300"}, "prior.timestep must be a valid integer"),
        ({"timestep": 300.5}, "prior.timestep"),
        ({"block": True}, "prior.block"),
        ({"shift": 0}, "prior.shift must be greater than 0"),
        ({"shift": float("inf")}, "prior.shift must be a finite number"),
        ({"height": -8}, "prior.height"),
        ({"mode": "video"}, "prior.mode must be 'frames' or 'clip', not 'video'"),
        ({"seed": -1}, "prior.seed"),
        ({"seed": 2**63}, "prior.seed"),
        ({"text_length": 0}, "prior.text_length"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(WanPriorConfig, values, "prior")


def test_settings_of_another_family_are_refused(tmp_path) -> None:
    other = PriorConfig(type="vae", width=8, height=8)
    with pytest.raises(PriorError, match="type 'vae' are no WanPriorConfig"):
        load_config(tmp_path, WanPriorConfig, other)
