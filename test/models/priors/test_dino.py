"""DINO towers as a prior."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from models.priors.contract import PriorContract
from support.closeness import assert_close_to_magnitude
from transformers import (
    AutoModel,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DINOv3ViTConfig,
)

from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.dino import DinoPrior, DinoPriorConfig

pytestmark = pytest.mark.numeric

SMALL = DinoPriorConfig(width=32, height=16)
SHAPE = {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8,
    "image_size": 16, "layerscale_value": 0.5,
}  # fmt: skip
CONFIGS = {
    "dinov2": Dinov2Config(**SHAPE, mlp_ratio=2),
    "registers": Dinov2WithRegistersConfig(**SHAPE, mlp_ratio=2, num_register_tokens=3),
    "dinov3": DINOv3ViTConfig(**SHAPE, intermediate_size=48, num_register_tokens=4),
}


def tower(kind: str):
    torch.manual_seed(0)
    made = AutoModel.from_config(CONFIGS[kind])
    with torch.no_grad():
        for parameter in made.parameters():  # norms and biases matter too
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made.eval()


class TestDinov2(PriorContract):
    """DINOv2."""

    type = "dino"
    kind = "dinov2"

    def make(self) -> DinoPrior:
        return DinoPrior(tower(self.kind), SMALL)


class TestDinov2WithRegisters(TestDinov2):
    """DINOv2 with register tokens."""

    kind = "registers"


class TestDinov3(TestDinov2):
    """DINOv3."""

    kind = "dinov3"


def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", CONFIGS)
def test_tokens_are_the_tower_s_final_normed_patch_tokens(kind):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    model = tower(kind)
    with torch.no_grad():
        states = model((pictures() - mean) / std).last_hidden_state
    first = 1 + getattr(CONFIGS[kind], "num_register_tokens", 0)
    assert states.shape[1] == first + 8
    found = DinoPrior(model, SMALL).encode(pictures(), [1, 2])
    assert_close_to_magnitude(found, states[:, first:].unflatten(1, (2, 4)), "network")


@pytest.mark.parametrize("kind", CONFIGS)
def test_only_layers_up_to_the_wanted_one_are_loaded(kind, tmp_path):
    whole = DinoPrior(tower(kind), SMALL)
    whole.save(tmp_path)
    early = DinoPrior.from_folder(tmp_path, replace(SMALL, layer=1))
    with torch.no_grad():
        given = (pictures() - torch.tensor(SMALL.mean).view(3, 1, 1)) / torch.tensor(
            SMALL.std
        ).view(3, 1, 1)
        states = whole.tower(given, output_hidden_states=True).hidden_states[2]
        norm = whole.tower.norm if kind == "dinov3" else whole.tower.layernorm
        expected = norm(states)[:, -8:].unflatten(1, (2, 4))
    assert_close_to_magnitude(early.encode(pictures(), [1, 2]), expected, "network")
    need = [
        DinoPrior.memory(tmp_path, one.config, torch.float32, 1)["prior"] for one in (early, whole)
    ]
    held = [4 * sum(p.numel() for p in one.parameters()) for one in (early, whole)]
    assert need == held
    with pytest.raises(PriorError, match=r"layer 3 does not exist; the tower has layers 0\.\.2"):
        DinoPrior.from_folder(tmp_path, replace(SMALL, layer=3))


def test_other_towers_and_references_are_refused(tmp_path):
    DinoPrior(tower("dinov2"), SMALL).save(tmp_path)
    with pytest.raises(PriorError, match="is its own reference"):
        DinoPrior.from_folder(tmp_path, reference=True)
    file = tmp_path / "dino" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_type": "bert"}))
    with pytest.raises(PriorError, match="kind 'bert'; dinov2, dinov2_with_registers, dinov3_vit"):
        DinoPrior.from_folder(tmp_path)
