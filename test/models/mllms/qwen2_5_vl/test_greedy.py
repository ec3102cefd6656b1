"""Answers against stock ``generate``, which reads the checkpoint's generation config itself."""

from __future__ import annotations

import json
import math

import pytest
import torch
from support.closeness import SAME_CONFIDENCE
from support.tiny_models import WORDS
from support.varied_language import read_varied, write_varied
from transformers import Qwen2_5_VLForConditionalGeneration

from vega3d_ros.models.mllms.qwen2_5_vl.patches import patchify
from vega3d_ros.models.mllms.qwen2_5_vl.weights import WeightsError, load_language_model

pytestmark = pytest.mark.numeric

FRAMES = 2
TOKENS = 12


def generated(folder, question):
    """Tokens that stock transformers says about the frames, and their mean probability."""
    language = read_varied(folder)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    return generated_by(model, language, question)


def generated_by(model, language, question):
    pixels, grid = patchify(frames(), model.config.vision_config)
    prefix, _ = language.prefix_ids(FRAMES)
    ids = torch.cat([prefix, torch.tensor([language.encode(f"{question}<|answer|>")])], dim=1)
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        pixel_values=pixels,
        image_grid_thw=grid,
        max_new_tokens=TOKENS,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    said = out.sequences[0, ids.shape[1] :].tolist()
    logs = [
        float(torch.log_softmax(logits[0].float(), -1)[token])
        for logits, token in zip(out.logits, said, strict=True)
    ]
    return said, math.exp(sum(logs) / len(logs))


def frames():
    return torch.rand(FRAMES, 3, 56, 84, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def assert_as_generated(folder):
    """Together, alone and at the graphs' shapes; returns the tokens."""
    language = read_varied(folder)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    wanted = [generated_by(model, language, text) for text in WORDS]
    prefix = language.read(language.semantic_tokens(frames()))
    found = [language.answers(prefix, WORDS, TOKENS)]
    for graphs in (False, True):
        if graphs:
            language.capture_graphs(FRAMES, graphs=False)
        found.append([language.answers(prefix, [text], TOKENS)[0] for text in WORDS])
    for answers in found:
        for (text, confidence), (tokens, expected) in zip(answers, wanted, strict=True):
            assert text == language.tokenizer.decode(tokens, skip_special_tokens=True).strip()
            assert confidence == pytest.approx(expected, rel=SAME_CONFIDENCE)
    return [tokens for tokens, _ in wanted]


def configured(folder, **generation):
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | generation))
    return folder


@pytest.mark.parametrize("seed", [4, 5])
def test_answers_are_those_of_generate_with_any_repetition_penalty(tmp_path, seed):
    folder = write_varied(tmp_path, seed)
    said = [
        assert_as_generated(configured(folder, repetition_penalty=penalty))
        for penalty in (1.0, 1.05, 1.3)
    ]
    for answers in said:  # no letter for ever, and not all the same
        assert all(len(set(tokens)) > 2 for tokens in answers)
        assert len({tuple(tokens) for tokens in answers}) == len(WORDS)
    assert said[0] != said[1] != said[2]


@pytest.mark.parametrize("penalty", [1.0, 1.05, 1.3])
def test_each_of_several_ends_ends_an_answer(tmp_path, penalty):
    folder = write_varied(tmp_path, 0, repetition_penalty=penalty)
    endless = [generated(folder, text)[0] for text in WORDS]
    ends = [1, endless[0][1], endless[1][3]]
    said = assert_as_generated(configured(folder, eos_token_id=ends))
    assert said[0][-1] == ends[1]
    assert said[1][-1] in ends
    assert [len(tokens) for tokens in said[:2]] != [TOKENS, TOKENS]


def test_suppressed_tokens_are_not_said(tmp_path):
    folder = write_varied(tmp_path, 0, repetition_penalty=1.05)
    free = [generated(folder, text)[0] for text in WORDS]
    never, not_first = free[0][1], free[1][0]
    configured(folder, suppress_tokens=[never], begin_suppress_tokens=[not_first])
    said = assert_as_generated(folder)
    assert all(never not in tokens for tokens in said)
    assert said[1][0] != not_first


@pytest.mark.parametrize(
    ("generation", "complaint"),
    [
        ({"no_repeat_ngram_size": 3}, "sets no_repeat_ngram_size to 3"),
        ({"bad_words_ids": [[7]]}, "sets bad_words_ids"),
        ({"encoder_repetition_penalty": 1.2}, "sets encoder_repetition_penalty to 1.2"),
        ({"repetition_penalty": 0}, "repetition_penalty must be positive, not 0"),
    ],
)
def test_what_would_not_be_followed_is_refused(tmp_path, generation, complaint):
    write_varied(tmp_path, 0, **generation)
    with pytest.raises(WeightsError, match=complaint):
        load_language_model(tmp_path)


def test_a_damaged_generation_config_is_named(tmp_path):
    write_varied(tmp_path, 0)
    (tmp_path / "generation_config.json").write_text('{"repetition_penalty": 1.0')
    with pytest.raises(WeightsError, match=r"generation_config\.json cannot be read"):
        load_language_model(tmp_path)
