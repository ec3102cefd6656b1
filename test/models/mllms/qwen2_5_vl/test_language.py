import pytest
import torch
from support.closeness import SAME_CONFIDENCE, assert_close_to_magnitude, differs_beyond_rounding
from support.tiny_models import WORDS, shared_modules
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vega3d_ros.models.mllms.qwen2_5_vl.language import Branches

pytestmark = pytest.mark.numeric

FRAMES = 3


@pytest.fixture(scope="module")
def language():
    return shared_modules().language


@pytest.fixture(scope="module")
def visual(language):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(FRAMES, *language.grid, 256, generator=generator)


def whole_logits(language, visual, suffix):
    """Logits of a sequence run in one go by the stock model, no cache, no packing."""
    ids, _ = language.prefix_ids(len(visual))
    ids = torch.cat([ids, torch.tensor([suffix])], dim=1)
    merge = language.model.config.vision_config.spatial_merge_size
    rows, columns = language.grid
    tokens = BaseModelOutputWithPooling(pooler_output=tuple(v.flatten(0, 1) for v in visual))
    with torch.no_grad():
        return language.model(
            input_ids=ids,
            mm_token_type_ids=(ids == language.model.config.image_token_id).int(),
            image_grid_thw=torch.tensor([[1, rows * merge, columns * merge]] * len(visual)),
            mm_encoder_outputs={"image": tokens},
            use_cache=False,
        ).logits[0]


def test_kept_prefix_gives_the_logits_of_the_whole_sequence(language, visual):
    suffixes = [language.encode(text) for text in WORDS]
    with torch.no_grad():
        branches = Branches(language, language.read(visual), len(suffixes))
        packed = language.model.lm_head(branches.extend(suffixes))
    for suffix, logits in zip(suffixes, packed, strict=True):
        assert_close_to_magnitude(logits, whole_logits(language, visual, suffix)[-1], "network")


def test_branches_grow_token_by_token_as_the_whole_sequence(language, visual):
    """Greedy decoding adds single tokens to some branches: positions and masks must still hold."""
    first, second = language.encode(WORDS[0]), language.encode(WORDS[1])
    with torch.no_grad():
        branches = Branches(language, language.read(visual), 2)
        branches.extend([first[:3], second[:4]])
        hidden = branches.extend([second[4:5]], [1])
        hidden = branches.extend([first[3:5], second[5:6]])
    wanted = [
        whole_logits(language, visual, first[:5]),
        whole_logits(language, visual, second[:6]),
    ]
    got = language.model.lm_head(hidden)
    for row, logits in zip(got, wanted, strict=True):
        assert_close_to_magnitude(row, logits[-1], "network")


def test_questions_do_not_hear_each_other_and_leave_the_prefix_as_it_was(language, visual):
    with torch.no_grad():
        prefix = language.read(visual)
        together = language.answers(prefix, WORDS, max_tokens=5)
        alone = [language.answers(prefix, [text], max_tokens=5)[0] for text in WORDS]
    assert prefix.cache.get_seq_length() == prefix.length
    for (text, confidence), (text_alone, confidence_alone) in zip(together, alone, strict=True):
        assert text == text_alone
        assert confidence == pytest.approx(confidence_alone, rel=SAME_CONFIDENCE)


def test_answer_is_the_greedy_continuation(language, visual):
    """Token by token, each step the argmax of the whole sequence run anew by the stock model."""
    question = WORDS[1]
    suffix = language.encode(language.prompt.question.format(text=question))
    wanted = []
    for _ in range(4):
        logits = whole_logits(language, visual, [*suffix, *wanted])[-1]
        wanted.append(int(logits.argmax()))
        if wanted[-1] == language.model.config.text_config.eos_token_id:
            break
    with torch.no_grad():
        text, confidence = language.answers(language.read(visual), [question], max_tokens=4)[0]
    assert text == language.tokenizer.decode(wanted, skip_special_tokens=True).strip()
    assert 0 < confidence < 1


def test_ground_state_is_the_hidden_state_of_the_ground_token(language, visual):
    with torch.no_grad():
        prefix = language.read(visual)
        states = language.ground_states(prefix, ["the chair", "the bed"])
        alone = language.ground_states(prefix, ["the bed"])
    assert language.encode(language.prompt.ground.format(text="the bed"))[-1] == (
        language.tokenizer.convert_tokens_to_ids("<ground>")
    )
    assert_close_to_magnitude(states[1], alone[0], "network")
    assert differs_beyond_rounding(states[0], states[1])


@pytest.fixture(scope="module")
def objects():
    return torch.randn(4, 256, generator=torch.Generator().manual_seed(2))


def test_questions_hear_of_objects_as_of_tokens_in_one_sequence(language, visual, objects):
    """Read at once by the stock model: the clip, the objects, then the question."""
    ids, types = language.prefix_ids(len(visual))
    suffix = language.encode(WORDS[0])
    text = language.model.model.language_model
    with torch.no_grad():
        told = language.read_objects(language.read(visual), objects)
        hidden = Branches(language, told, 1).extend([suffix])[0]
        embedded = text.embed_tokens(ids)
        embedded[types.bool()] = visual.flatten(0, 2)
        parts = [embedded, objects[None], text.embed_tokens(torch.tensor([suffix]))]
        first = language.prefix_positions(len(visual))
        later = int(first.max()) + 1 + torch.arange(len(objects) + len(suffix))
        whole = text(
            inputs_embeds=torch.cat(parts, dim=1),
            position_ids=torch.cat([first, later.expand(3, 1, -1)], dim=2),
            use_cache=False,
        ).last_hidden_state[0, -1]
    assert_close_to_magnitude(hidden, whole, "network")


def test_grounding_hears_of_objects_too(language, visual, objects):
    suffix = language.encode(language.prompt.ground.format(text="the bed"))
    with torch.no_grad():
        told = language.read_objects(language.read(visual), objects)
        state = language.ground_states(told, ["the bed"])
        alone = Branches(language, told, 1)
        assert torch.equal(state, alone.extend([suffix]))
        alone.close()
        untold = language.ground_states(language.read(visual), ["the bed"])
    assert differs_beyond_rounding(state, untold)
    assert told.cache.get_seq_length() == told.length + len(objects)


def test_words_are_the_mean_of_their_tokens(language):
    embed = language.model.model.language_model.embed_tokens
    with torch.no_grad():
        heard = language.embed_names(["chair", "red chair"])
        ids = torch.tensor(language.encode(" red chair"))
        assert_close_to_magnitude(heard[1], embed(ids).mean(0), "elementwise")
    assert heard.shape == (2, 256)
