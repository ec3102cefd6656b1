import numpy as np
import pytest
import torch
from support.closeness import assert_close_to_magnitude
from support.tiny_models import shared_modules
from transformers import DynamicCache

from vega3d_ros.models.mllms.qwen2_5_vl.language import Branches, Prefix
from vega3d_ros.training.object_records import RECALLED, RELATED, Notes
from vega3d_ros.training.packed_prompts import (
    IGNORED,
    ObjectRecallHead,
    PackedBatch,
    PackedPrompts,
    answer_losses,
    object_tokens,
    read,
)

pytestmark = pytest.mark.numeric

BED = {
    "id": "bed",
    "label": "bed",
    "color": "red",
    "center": np.array([1.0, 0, 0]),
    "size": np.ones(3),
    "yaw": 0.0,
    "visible_pixels": [900],
}


@pytest.fixture(scope="module")
def modules():
    return shared_modules()


def asked_of(language, *questions, query=None):
    suffixes = PackedPrompts()
    for question, answer in questions:
        suffixes.question(language, question, answer, [BED])
    if query:
        for told in (True, False):
            suffixes.query(language, query, [BED], np.zeros(3, np.float32), told=told)
    return suffixes


def test_mentions_stand_on_the_last_token_of_the_name(modules):
    language = modules.language
    suffixes = asked_of(language, ("Is there a chair in the video?", "no"), ("the bed", "yes"))
    places = [
        language.tokenizer.decode(suffixes.ids[suffix][: token + 1])
        for suffix, token in suffixes.mentions
    ]
    assert places == ["Is there a chair", "the bed"]
    assert len(suffixes.brought) == 2


def test_queries_mention_only_what_they_were_told_of(modules):
    suffixes = asked_of(modules.language, query="the bed nearest to the chair")
    assert suffixes.grounds == [0, 1]
    assert suffixes.untold == [1]
    assert [suffix for suffix, _ in suffixes.mentions] == [0, 0]
    assert len(suffixes.places) == 2


def test_only_the_answer_is_learned(modules):
    language = modules.language
    suffixes = asked_of(language, ("Is there a chair?", "no"))
    told = [label for label in suffixes.labels[0] if label != IGNORED]
    assert language.tokenizer.decode(told, skip_special_tokens=True) == "no"
    assert len(suffixes.labels[0]) == len(suffixes.ids[0])


def test_training_hears_what_the_robot_hears(modules):
    """One padded batch of unlike clips gives each the states of its own prefix, read alone."""
    language, module = modules.language, modules.objects
    torch.manual_seed(0)
    grid = language.grid
    visual = torch.randn(2, 1, *grid, 256)
    notes = [
        Notes(["bed", "chair"], np.array([0, 1]), np.random.default_rng(0).normal(size=(2, 17))),
        Notes(["table"], np.array([2]), np.random.default_rng(1).normal(size=(1, 17))),
    ]
    notes = [Notes(n.labels, n.colors, n.values.astype(np.float32)) for n in notes]
    colors = [torch.eye(11)[n.colors] for n in notes]
    asked = [
        asked_of(language, ("Is there a chair in the video?", "yes"), query="the bed"),
        asked_of(language, ("How far is the table from the bed in metres?", "1.0")),
    ]
    ids, types = language.prefix_ids(1)
    with torch.no_grad():
        told = object_tokens(module, language, notes, colors)
        batch = PackedBatch.of(asked, [2, 1], ids.shape[1], 0)
        embedded = language.model.model.language_model.embed_tokens(ids).expand(2, -1, -1).clone()
        embedded[:, types[0].bool()] = visual.flatten(1, 3)
        heard = read(language, embedded, language.prefix_positions(1), told, batch)
        for row, one in enumerate(asked):
            prefix = language.read_objects(
                language.read(visual[row]), told[row, : len(notes[row])]
            )
            question = next(i for i, label in enumerate(one.labels[0]) if label != IGNORED)
            branches = Branches(language, prefix, 1)
            state = branches.extend([one.ids[0][: question + 1]])[0]
            branches.close()
            assert_close_to_magnitude(heard.hidden[row, question], state, "network")
            for number in one.grounds:
                told_first = number not in one.untold
                read_first = prefix if told_first else language.read(visual[row])
                state = language.ground_states(read_first, ["the bed"])[0]
                end = int(batch.ends[row][number])
                assert_close_to_magnitude(heard.hidden[row, end], state, "network")


def test_a_clip_of_which_nothing_is_told(modules):
    language = modules.language
    nothing = Notes([], np.zeros(0, np.int64), np.zeros((0, 17), np.float32))
    with torch.no_grad():
        told = object_tokens(modules.objects, language, [nothing], [torch.zeros(0, 11)])
        batch = PackedBatch.of([asked_of(language, ("Is there a bed?", "yes"))], [0], 0, 0)
        heard = read(language, None, None, told, batch)
    assert heard.hidden.shape[:2] == batch.ids.shape
    assert answer_losses(language, heard.hidden, batch)["answer"] > 0


def test_recall_counts_only_what_is_asked():
    torch.manual_seed(0)
    recall = ObjectRecallHead(8)
    early, late = torch.randn(2, 2, 8)
    wanted = torch.full((2, RECALLED + RELATED), torch.nan)
    assert recall((early, late), wanted) == 0
    wanted[1, RECALLED - 1] = 2.0
    wanted[0, RECALLED] = -1.0
    seen = [torch.nn.functional.rms_norm(hidden, (8,)) for hidden in (early, late)]
    count, offset = recall.recall(seen[0])[1, -1], recall.relate(seen[1])[0, 0]
    error = (count - 2).square() + (offset + 1).square()
    assert recall((early, late), wanted).item() == pytest.approx(error.item(), rel=1e-5)


def test_an_empty_cache_can_be_told(modules):
    """Rooms that are only told of begin with their objects."""
    language = modules.language
    empty = Prefix(DynamicCache(config=language.model.config.text_config), 0, 0)
    with torch.no_grad():
        told = language.read_objects(empty, torch.randn(3, 256))
    assert told.cache.get_seq_length() == 3
    assert told.objects == 3
