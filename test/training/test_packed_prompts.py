import numpy as np
import pytest
import torch
from support.closeness import assert_close_to_magnitude
from support.tiny_models import shared_modules
from transformers import DynamicCache

from vega3d_ros.models.mllms.qwen2_5_vl.language import Branches, Prefix
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES
from vega3d_ros.training.object_records import RECALL_SIZE, RELATION_SIZE, ObjectRecords
from vega3d_ros.training.packed_prompts import (
    IGNORED,
    ObjectRecallHead,
    PackedBatch,
    PackedPrompts,
    answer_losses,
    object_tokens,
    run_batch,
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


def prompts_of(language, *questions, query=None):
    prompts = PackedPrompts()
    for question, answer in questions:
        prompts.add_question(language, question, answer, [BED])
    if query:
        for with_objects in (True, False):
            center = np.zeros(3, np.float32)
            prompts.add_query(language, query, [BED], center, with_objects=with_objects)
    return prompts


def test_mentions_stand_on_the_last_token_of_the_name(modules):
    language = modules.language
    prompts = prompts_of(language, ("Is there a chair in the video?", "no"), ("the bed", "yes"))
    beginnings = [
        language.tokenizer.decode(prompts.ids[prompt][: token + 1])
        for prompt, token in prompts.mentions
    ]
    assert beginnings == ["Is there a chair", "the bed"]
    assert len(prompts.mention_targets) == 2


def test_queries_without_object_tokens_have_no_mentions(modules):
    prompts = prompts_of(modules.language, query="the bed nearest to the chair")
    assert prompts.queries == [0, 1]
    assert prompts.without_objects == [1]
    assert [prompt for prompt, _ in prompts.mentions] == [0, 0]
    assert len(prompts.query_centers) == 2


def test_only_the_answer_is_learned(modules):
    language = modules.language
    prompts = prompts_of(language, ("Is there a chair?", "no"))
    learned = [label for label in prompts.labels[0] if label != IGNORED]
    assert language.tokenizer.decode(learned, skip_special_tokens=True) == "no"
    assert len(prompts.labels[0]) == len(prompts.ids[0])


def test_training_reads_the_same_prompts_as_the_robot(modules):
    """In one padded batch of different clips, each has the states of its own prefix alone."""
    language, module = modules.language, modules.objects
    torch.manual_seed(0)
    grid = language.grid
    visual = torch.randn(2, 1, *grid, 256)
    records = [
        ObjectRecords(
            labels,
            np.array(color),
            np.random.default_rng(seed).normal(size=(len(labels), VALUES)).astype(np.float32),
            np.zeros((len(labels), 0), np.float32),
        )
        for seed, (labels, color) in enumerate(((["bed", "chair"], [0, 1]), (["table"], [2])))
    ]
    colors = [torch.eye(11)[r.colors] for r in records]
    clips = [
        prompts_of(language, ("Is there a chair in the video?", "yes"), query="the bed"),
        prompts_of(language, ("How far is the table from the bed in metres?", "1.0")),
    ]
    ids, types = language.prefix_ids(1)
    with torch.no_grad():
        objects = object_tokens(module, language, records, colors)
        batch = PackedBatch.of(clips, [2, 1], ids.shape[1], 0)
        embedded = language.model.model.language_model.embed_tokens(ids).expand(2, -1, -1).clone()
        embedded[:, types[0].bool()] = visual.flatten(1, 3)
        context = run_batch(language, embedded, language.prefix_positions(1), objects, batch)
        for row, one in enumerate(clips):
            prefix = language.read_objects(
                language.read(visual[row]), objects[row, : len(records[row])]
            )
            question = next(i for i, label in enumerate(one.labels[0]) if label != IGNORED)
            branches = Branches(language, prefix, 1)
            state = branches.extend([one.ids[0][: question + 1]])[0]
            branches.close()
            assert_close_to_magnitude(context.hidden[row, question], state, "network")
            for number in one.queries:
                with_objects = number not in one.without_objects
                before = prefix if with_objects else language.read(visual[row])
                state = language.ground_states(before, ["the bed"])[0]
                end = int(batch.ends[row][number])
                assert_close_to_magnitude(context.hidden[row, end], state, "network")


def test_a_clip_without_objects(modules):
    language = modules.language
    nothing = ObjectRecords.of_truth([])
    with torch.no_grad():
        objects = object_tokens(modules.objects, language, [nothing], [torch.zeros(0, 11)])
        batch = PackedBatch.of([prompts_of(language, ("Is there a bed?", "yes"))], [0], 0, 0)
        context = run_batch(language, None, None, objects, batch)
    assert context.hidden.shape[:2] == batch.ids.shape
    assert answer_losses(language, context.hidden, batch)["answer"] > 0


def test_the_recall_loss_counts_only_known_targets():
    torch.manual_seed(0)
    recall = ObjectRecallHead(8)
    early, late = torch.randn(2, 2, 8)
    targets = torch.full((2, RECALL_SIZE + RELATION_SIZE), torch.nan)
    assert recall((early, late), targets) == 0
    targets[1, RECALL_SIZE - 1] = 2.0
    targets[0, RECALL_SIZE] = -1.0
    seen = [torch.nn.functional.rms_norm(hidden, (8,)) for hidden in (early, late)]
    count, offset = recall.recall(seen[0])[1, -1], recall.relate(seen[1])[0, 0]
    error = (count - 2).square() + (offset + 1).square()
    assert recall((early, late), targets).item() == pytest.approx(error.item(), rel=1e-5)


def test_object_tokens_can_come_first(modules):
    """The language stage has no image before its objects."""
    language = modules.language
    empty = Prefix(DynamicCache(config=language.model.config.text_config), 0, 0)
    with torch.no_grad():
        told = language.read_objects(empty, torch.randn(3, 256))
    assert told.cache.get_seq_length() == 3
    assert told.objects == 3
