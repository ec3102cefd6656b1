"""Prompt, chat and frames of the official evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.official_folder import SIZE, write_checkpoint
from support.tiny_models import make_clip
from transformers import Qwen2VLImageProcessorPil
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vega3d_ros.models.checkpoints.load import load_modules
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.official.images import (
    image_processor,
    load_frames,
    sample_frames,
)
from vega3d_ros.models.checkpoints.official.wording import official_question
from vega3d_ros.perception.perceiver import Perceiver

pytestmark = pytest.mark.numeric

CHOICES = "Which is nearer?\nOptions:\nA. the bed\nB. the sofa"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="module")
def perceiver(folder):
    return Perceiver.from_pretrained(folder, prior=SIZE)


def test_questions_are_worded_as_the_evaluation_words_them():
    assert official_question("How many beds?") == (
        "These are frames of a video.\nHow many beds?\n"
        "Please answer the question using a single word or phrase."
    )
    assert official_question(CHOICES) == (
        f"These are frames of a video.\n{CHOICES}\n"
        "Answer with the option's letter from the given choices directly."
    )
    worded = official_question(CHOICES)
    assert official_question(worded) == worded


def test_the_chat_is_that_of_the_template(folder, perceiver, tmp_path):
    prompt = perceiver.modules.language.prompt
    assert prompt.before == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    )
    assert prompt.question == "{text}<|im_end|>\n<|im_start|>assistant\n"
    bare = write_checkpoint(tmp_path / "bare")
    (bare / "chat_template.json").unlink()
    assert load_modules(bare, prior=SIZE).language.prompt == prompt
    (bare / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    with pytest.raises(CheckpointError, match="chat template of the checkpoint is not"):
        load_modules(bare)
    (bare / "chat_template.json").write_text(json.dumps({"chat_template": "{% if %}"}))
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_modules(bare)


@pytest.mark.parametrize(
    ("question", "size", "grid"),
    [("Is there a bed?", (80, 60), (15, 19)), (CHOICES, (160, 90), (12, 22))],
)
@torch.no_grad()
def test_an_answer_is_the_greedy_continuation_of_the_whole_chat(perceiver, question, size, grid):
    """Stock transformers, run anew for every token, without kept keys and values."""
    perceiver.reset()
    scene = perceiver.observe(make_clip(2, size=size))
    language = perceiver.modules.language
    said = "".join(
        (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
            "FRAME" * 2,
            official_question(question),
            "<|im_end|>\n<|im_start|>assistant\n",
        )
    )
    tokens = BaseModelOutputWithPooling(
        pooler_output=tuple(frame.flatten(0, 1) for frame in scene.reading.visual)
    )
    rows, columns = scene.reading.visual.shape[1:3]
    assert (rows, columns) == grid
    image = [502, *[500] * (rows * columns), 503]
    before, *_, after = said.split("FRAME")
    ids = [*language.encode(before), *image, *image, *language.encode(after)]
    wanted = []
    for _ in range(3):
        sequence = torch.tensor([[*ids, *wanted]])
        logits = language.model(
            input_ids=sequence,
            mm_token_type_ids=(sequence == 500).int(),
            image_grid_thw=torch.tensor([[1, 2 * rows, 2 * columns]] * 2),
            mm_encoder_outputs={"image": tokens},
            use_cache=False,
        ).logits
        wanted.append(int(logits[0, -1].argmax()))
    language = scene.reading.language
    text, confidence = language.answers(scene.reading.prefix, [question], max_tokens=3)[0]
    assert text == language.tokenizer.decode(wanted, skip_special_tokens=True).strip()
    assert 0 < confidence <= 1


def test_32_frames_of_4_to_3_cost_9120_visual_tokens(perceiver):
    language = perceiver.modules.language.on_grid(15, 19)
    _, visual = language.prefix_ids(32)
    assert int(visual.sum()) == 9120
    assert language.grid == (15, 19)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_frames_are_spread_over_the_video(count, keep):
    taken = sample_frames(count, keep)
    assert len(taken) == min(count, keep)
    assert taken == sorted(set(taken))
    assert taken[0] == 0
    assert taken[-1] == count - 1 or keep == 1
    if count > keep:
        assert taken == np.linspace(0, count - 1, keep).astype(int).tolist()


@pytest.mark.parametrize(
    ("size", "loaded", "patches"),
    [
        ((640, 480), (504, 392), (30, 38)),
        ((1280, 720), (504, 280), (24, 44)),
        ((480, 640), (504, 504), (36, 36)),
    ],
)
def test_frames_are_loaded_and_resized_as_the_evaluation_does(size, loaded, patches, tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    found = load_frames(images)
    assert (found.shape[3], found.shape[2]) == loaded
    height = round(size[1] * (518 / size[0]) / 14) * 14
    resized = np.asarray(Image.fromarray(picture).resize((518, height), Image.Resampling.BICUBIC))
    top = max(0, (height - 518) // 2)
    wanted = resized[top : top + loaded[1], : loaded[0]]
    assert np.array_equal((found[0] * 255).round().byte().permute(1, 2, 0).numpy(), wanted)
    given_ = image_processor(tmp_path)(list(found), return_tensors="pt", do_rescale=False)
    assert tuple(given_["image_grid_thw"][0, 1:].tolist()) == patches


def test_the_checkpoint_says_how_pixels_are_normalised(tmp_path):
    Qwen2VLImageProcessorPil(image_mean=[0.1, 0.2, 0.3], min_pixels=4).save_pretrained(tmp_path)
    processor = image_processor(tmp_path)
    assert tuple(processor.image_mean) == (0.1, 0.2, 0.3)
    assert dict(processor.size)["shortest_edge"] == 256 * 28 * 28
    assert dict(processor.size)["longest_edge"] == 1605632


def test_the_token_ids_of_a_whole_prompt_are_held(perceiver):
    """Every byte around frames and question: the golden tokenizer has a token for each."""
    language = perceiver.modules.language.on_grid(2, 3)
    prefix, _ = language.prefix_ids(2)
    found = [*prefix[0].tolist(), *language.encode(language.question_prompt("How many beds?"))]
    names = ("<|im_start|>", "<|im_end|>")
    start, end = language.tokenizer.convert_tokens_to_ids(names)
    letter = {byte: language.encode(chr(byte))[0] for byte in range(32, 127)}
    letter[10] = language.encode("\n")[0]

    def spelt(text):
        return [letter[byte] for byte in text.encode()]

    frame = [502, *[500] * 6, 503]
    assert found == [
        *[start, *spelt("system\nYou are a helpful assistant."), end, *spelt("\n")],
        *[start, *spelt("user\n"), *frame, *frame],
        *spelt("These are frames of a video.\nHow many beds?\n"),
        *spelt("Please answer the question using a single word or phrase."),
        *[end, *spelt("\n"), start, *spelt("assistant\n")],
    ]
