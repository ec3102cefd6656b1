"""Settings of a prior."""

from __future__ import annotations

import json

import pytest

from vega3d_ros.models.priors.base import PriorConfig, PriorError


def test_round_trip_through_json() -> None:
    config = PriorConfig(block=20, timestep=250, shift=3, width=560, mode="clip", seed=7)
    assert PriorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert PriorConfig.from_dict({}) == PriorConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blok": 1}, "blok"),
        ({"timestep": 1001}, "timestep"),
        ({"timestep": "300"}, "timestep"),
        ({"timestep": 300.5}, "timestep"),
        ({"block": True}, "block"),
        ({"shift": 0}, "shift"),
        ({"width": 0}, "size"),
        ({"height": -8}, "size"),
        ({"align": "centre"}, "align"),
        ({"mode": "video"}, "mode"),
        ({"seed": -1}, "seed"),
        ({"text_length": 0}, "text_length"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(PriorError, match=message):
        PriorConfig.from_dict(values)
