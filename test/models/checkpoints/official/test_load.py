"""Official checkpoints: recognised, read as they are, and equal to the official code."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from support.closeness import assert_close_to_magnitude
from support.official_folder import (
    SIZE,
    TOWER,
    golden,
    golden_state,
    write_checkpoint,
)
from support.tiny_models import make_clip

from vega3d_ros.core.frames import Clip, Frame
from vega3d_ros.models.checkpoints.load import load_modules
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.perception.keyframe_encoder import Patches
from vega3d_ros.perception.perceiver import Perceiver, PerceiverError

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module")
def perceiver(folder):
    return Perceiver.from_pretrained(folder, prior=SIZE)


@pytest.fixture(scope="module")
def expected():
    return golden()


def golden_inputs(expected):
    frames = [
        Frame(i + 1, frame.permute(1, 2, 0).numpy(), "camera")
        for i, frame in enumerate(expected["frames"])
    ]
    patches = Patches(expected["pixel_values"], expected["image_grid_thw"])
    return Clip(tuple(frames)), {"noise": expected["noise"], "patches": patches}


def test_every_stage_equals_the_official_code(perceiver, expected):
    _, given = golden_inputs(expected)
    encoded = perceiver.encode(expected["frames"], [1, 2, 3], **given)
    tower = encoded.generative[: len(expected["tower"])].permute(0, 3, 1, 2)
    assert_close_to_magnitude(tower, expected["tower"], "network")
    assert_close_to_magnitude(encoded.semantic, expected["semantic"], "network")
    assert_close_to_magnitude(encoded.projected, expected["merged"], "network")
    assert_close_to_magnitude(encoded.tokens, expected["fused"], "network")


def test_the_logits_of_an_observed_clip_equal_the_official_code(perceiver, expected):
    clip, given = golden_inputs(expected)
    scene = perceiver.observe(clip, **given)
    logits = scene.reading.logits(expected["input_ids"])[:, :, : expected["logits"].shape[2]]
    assert_close_to_magnitude(logits, expected["logits"], "network")
    assert scene.gate.shape == (3, 2, 3)
    # Noise and picture matter, and given ones are never kept for later.
    other = perceiver.observe(clip, **given | {"noise": torch.zeros(3, 16, 16, 26)})
    assert (
        other.reading.logits(expected["input_ids"]) - scene.reading.logits(expected["input_ids"])
    ).any()
    assert not len(perceiver._fused)


def test_shards_give_the_same_model_bit_for_bit(folder, perceiver, tmp_path):
    sharded = load_modules(write_checkpoint(tmp_path, shards=3), prior=SIZE)
    whole = perceiver.modules
    for one, two in (
        (whole.prior, sharded.prior),
        (whole.fusion, sharded.fusion),
        (whole.language.model, sharded.language.model),
    ):
        states = one.state_dict(), two.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_hooked_block_comes_from_the_configuration(tmp_path, perceiver):
    assert perceiver.modules.prior.config.block == 3  # the last: the configuration is silent
    early = load_modules(
        write_checkpoint(
            tmp_path,
            generative_vision_tower_feat_block_idx=1,
            generative_vision_tower_size="208*128",
            generative_vision_tower_timestep=500,
        )
    ).prior
    assert (early.config.block, early.config.timestep) == (1, 500)
    assert (early.config.width, early.config.height) == (208, 128)
    assert len(early.transformer.blocks) == 2


def test_the_whole_frame_can_be_shown_instead(folder, perceiver):
    full = Perceiver.from_pretrained(folder, prior={**SIZE, "align": "full"})
    assert perceiver.modules.prior.config.align == "official"
    images = torch.rand(1, 3, 112, 112)
    cut = images.clone()
    cut[:, :, :8] = 0  # a strip that only the whole frame has
    seen = [p.modules.prior.encode(x, [1]) for p in (perceiver, full) for x in (images, cut)]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[2], seen[3])


def test_it_answers_and_says_that_it_finds_no_objects(perceiver):
    perceiver.queries = ("chair",)
    scene = perceiver.observe(make_clip(2))
    answer = scene.ask("How many chairs are there?")
    assert isinstance(answer.text, str)
    assert answer.objects == ()
    assert scene.objects == ()
    for call in (
        lambda: scene.ground("chair"),
        lambda: scene.likeliest_all(["chair"]),
        lambda: scene.relation("chair", "table"),
    ):
        with pytest.raises(PerceiverError, match="no grounding head"):
            call()
    assert "no grounding head" in perceiver.card


def test_half_precision_stays_near_and_answers(folder, perceiver, expected):
    half = Perceiver.from_pretrained(folder, prior=SIZE, dtype=torch.bfloat16)
    _, given = golden_inputs(expected)
    tokens = half.encode(expected["frames"], [1, 2, 3], **given).tokens
    assert tokens.dtype == torch.bfloat16
    similar = torch.nn.functional.cosine_similarity(tokens.float(), expected["fused"], dim=-1)
    assert similar.min() > 0.999
    assert isinstance(half.observe(make_clip(1)).ask("Is there a bed?").text, str)


def test_clips_of_different_shape_follow_each_other(perceiver):
    perceiver.reset()
    wide = perceiver.observe(make_clip(1, size=(160, 90)))
    high = perceiver.observe(make_clip(1, first=1, size=(80, 60)))
    assert wide.gate.shape[1:] == (12, 22)
    assert high.gate.shape[1:] == (15, 19)
    assert wide.ask("Is there a bed?").text == wide.ask("Is there a bed?").text


def test_without_a_tokenizer_only_words_are_refused(tmp_path, expected):
    folder = write_checkpoint(tmp_path, words=False)
    clip, given = golden_inputs(expected)
    scene = Perceiver.from_pretrained(folder, prior=SIZE).observe(clip, **given)
    assert scene.reading.logits(expected["input_ids"]).shape == (1, 30, 512)
    with pytest.raises(ValueError, match="has no tokenizer"):
        scene.ask("How many chairs are there?")


def refused(folder, said):
    with pytest.raises(CheckpointError, match=said) as error:
        load_modules(folder)
    return str(error.value)


def test_a_missing_or_damaged_shard_is_named(tmp_path):
    folder = write_checkpoint(tmp_path, shards=3)
    shard = folder / "model-00002-of-00003.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    assert shard.name in refused(folder, "damaged or incomplete")
    shard.unlink()
    assert shard.name in refused(folder, "is missing, though")
    index = folder / "model.safetensors.index.json"
    shard.write_bytes(content)
    names = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": names | {"model.extra": shard.name}}))
    assert "model.extra" in refused(folder, "which no file holds")
    index.write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    refused(folder, "no weight_map")
    index.unlink()
    assert index.name in refused(folder, "has 3 shards")


def test_a_truncated_file_is_named(tmp_path):
    folder = write_checkpoint(tmp_path)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert str(file) in refused(folder, "damaged or incomplete")


class Hostile:
    """Unpickling it would write a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (self.marker.write_text, ("x",))


def test_pickles_are_not_executed(tmp_path):
    folder = write_checkpoint(tmp_path)
    marker = tmp_path / "executed"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    load_modules(folder, prior=SIZE)  # safetensors are there: the pickle is nobody's business
    (folder / "model.safetensors").unlink()
    refused(folder, "are not read; convert them to safetensors")
    assert not marker.exists()


@pytest.mark.parametrize("file", ["Wan2.1_VAE.pth", "wan_prompt_embedding.pt"])
def test_wan_files_are_needed_and_hold_nothing_but_tensors(tmp_path, file):
    folder = write_checkpoint(tmp_path)
    path = tmp_path / "wan" / file
    marker = tmp_path / "executed"
    path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    assert file in refused(folder, "cannot be read as plain tensors")
    torch.save(torch.zeros(3), path)
    refused(folder, "must hold a state dict|holds no prompt embedding")
    path.unlink()
    assert file in refused(folder, "the checkpoint does not hold")
    assert not marker.exists()


def without(prefix):
    return {k: v for k, v in golden_state().items() if not k.startswith(prefix)}


@pytest.mark.parametrize(
    ("state", "config", "said"),
    [
        (without(TOWER), {}, "holds no tensors"),
        (without(TOWER + "blocks.2"), {}, "official Wan model"),
        (
            golden_state() | {TOWER + "vace_blocks.0.x": torch.zeros(1)},
            {},
            "text-to-video is read",
        ),
        (without("generative_merger.mlp"), {}, "generative_merger"),
        (without("generative_fusion.residual"), {}, "residual_scale"),
        (without("model.norm"), {}, "asks for .* weights|lacks 1 tensors"),
        (None, {"generative_fusion_method": "magic"}, "magic"),
        (None, {"generative_fusion_method": "context_gated"}, "gates by the question"),
        (None, {"generative_fusion_method": "instruction_token_gated"}, "gates by the question"),
        (None, {"generative_vision_tower_size": "large"}, "setting of the tower"),
        (None, {"generative_vision_tower_feat_block_idx": 9}, "block 9 does not exist"),
        (None, {"generative_merger_hidden_dim": 1 << 40}, "has width 128, config.json says"),
        (None, {"generative_fusion_num_layers": "many"}, "does not describe an official"),
        (None, {"generative_vision_tower_shift": [5]}, "setting of the tower"),
    ],
)
def test_what_does_not_fit_says_where(tmp_path, state, config, said):
    refused(write_checkpoint(tmp_path, state=state, **config), said)


def test_head_count_is_not_guessed(tmp_path):
    folder = write_checkpoint(tmp_path)
    (tmp_path / "wan" / "config.json").unlink()
    refused(folder, "num_heads")


def test_wan_files_may_lie_in_the_checkpoint(tmp_path):
    folder = write_checkpoint(tmp_path, generative_encoder_path="data/models/Wan2.1-T2V-1.3B")
    (tmp_path / "wan").rename(folder / "wan")
    assert load_modules(folder, prior=SIZE).prior.config.block == 3
    (folder / "wan").rename(tmp_path / "Wan2.1-T2V-1.3B")
    assert load_modules(folder, prior=SIZE).prior.config.block == 3


def test_it_is_not_written(perceiver, tmp_path):
    with pytest.raises(CheckpointError, match="read but not written"):
        save_modules(perceiver.modules, tmp_path / "m")


def test_a_float_frame_is_seen_as_its_bytes_are(perceiver):
    clip = make_clip(1)
    frame = clip.frames[0]
    same = Frame(frame.stamp_ns, np.float32(frame.image) / np.float32(255), frame.frame_id)
    assert np.array_equal(same.picture, frame.image)
    gates = [Perceiver(perceiver.modules).observe(Clip((one,))).gate for one in (frame, same)]
    assert np.array_equal(*gates)
