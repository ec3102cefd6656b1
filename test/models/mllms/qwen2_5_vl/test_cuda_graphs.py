"""The fixed shapes that become CUDA graphs, run kernel by kernel on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.closeness import SAME_CONFIDENCE
from support.tiny_models import WORDS, random_modules

from vega3d_ros.models.mllms.qwen2_5_vl import cuda_graphs

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def language():
    return random_modules(seed=3).language


@pytest.fixture(scope="module")
def prefixes(language):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return [
            language.read(torch.randn(count, *language.grid, 256, generator=generator))
            for count in (3, 2)
        ]


def test_answers_of_graphs_are_those_of_the_kept_prefix(language, prefixes, monkeypatch):
    expected = [[language.answers(p, [text], 6)[0] for text in WORDS] for p in prefixes]
    language.capture_graphs(3, graphs=False)
    used = []
    answer = language._graph_reader.answer
    monkeypatch.setattr(
        language._graph_reader, "answer", lambda *args: used.append(args) or answer(*args)
    )
    for _ in range(2):  # from one prefix to the other and back
        for prefix, answers in zip(prefixes, expected, strict=True):
            for text, (said, confidence) in zip(WORDS, answers, strict=True):
                found = language.answers(prefix, [text], 6)[0]
                assert found[0] == said
                assert found[1] == pytest.approx(confidence, rel=SAME_CONFIDENCE)
    assert len(used) == 2 * len(prefixes) * len(WORDS)
    for prefix in prefixes:
        assert all(layer.get_seq_length() == prefix.length for layer in prefix.cache.layers)


def test_object_tokens_are_heard(language, prefixes):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        clip = language.read(prefixes[1].visual)
        told = language.read_objects(clip, torch.randn(40, 256, generator=generator))
    language._graph_reader = None
    expected = language.answers(told, [WORDS[0]], 6)[0]
    language.capture_graphs(3, graphs=False)
    found = language.answers(told, [WORDS[0]], 6)[0]
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1], rel=SAME_CONFIDENCE)
    without = language.answers(prefixes[1], [WORDS[0]], 6)[0]
    assert without[1] != pytest.approx(expected[1], rel=SAME_CONFIDENCE)


def test_what_does_not_fit_is_answered_as_before(language, prefixes):
    language.capture_graphs(2, graphs=False)
    reader = language._graph_reader
    assert not reader.fits(
        replace(prefixes[0], objects=cuda_graphs.MAX_OBJECTS), [1], 6
    )  # three frames
    assert reader.fits(prefixes[1], [1] * cuda_graphs.SUFFIX, cuda_graphs.ANSWER)
    assert not reader.fits(prefixes[1], [1] * (cuda_graphs.SUFFIX + 1), 6)
    assert not reader.fits(prefixes[1], [1], cuda_graphs.ANSWER + 1)
    long = " ".join(WORDS * 3)
    assert len(language.encode(long)) > cuda_graphs.SUFFIX
    alone = language.answers(prefixes[1], [long], 3)
    language._graph_reader = None
    assert language.answers(prefixes[1], [long], 3) == alone


def test_the_end_of_an_answer_ends_it(language, prefixes, monkeypatch):
    suffix = language.encode(WORDS[0])
    monkeypatch.setattr(language, "rule", replace(language.rule, ends=()))
    language.capture_graphs(3, graphs=False)
    tokens, _ = language._graph_reader.answer(prefixes[0], suffix, 5)
    assert len(tokens) == 5
    end = tokens[2]
    monkeypatch.setattr(language, "rule", replace(language.rule, ends=(end,)))
    language.capture_graphs(3, graphs=False)
    shorter, logs = language._graph_reader.answer(prefixes[0], suffix, 5)
    assert shorter == tokens[: tokens.index(end) + 1]
    assert len(logs) == len(shorter)
