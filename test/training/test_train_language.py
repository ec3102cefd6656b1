import numpy as np
import pytest
import torch
from support.tiny_models import WORDS

from vega3d_ros.training.loop import Schedule
from vega3d_ros.training.nano import new_language
from vega3d_ros.training.object_records import COLOR_NAMES
from vega3d_ros.training.packed_prompts import ObjectRecallHead
from vega3d_ros.training.tokenizer import train_tokenizer
from vega3d_ros.training.train_language import (
    LanguageObjective,
    LanguageTraining,
    ObjectTokens,
    augment_room,
    load_language,
    train_language,
)

pytestmark = pytest.mark.numeric

LOOKS_ALONG_X = [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]]


def room(seed=0, count=6):
    """A truth record of a room whose objects can all be seen."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(["bed", "chair", "table", "sofa", "desk", "tv", "door"])[:count]
    return {
        "poses": [LOOKS_ALONG_X] * 4,
        "objects": [
            {
                "id": str(i),
                "label": str(label),
                "color": COLOR_NAMES[i],
                "center": rng.uniform(-2, 2, 3).tolist(),
                "size": rng.uniform(0.3, 2, 3).tolist(),
                "yaw": float(rng.uniform(-3, 3)),
                "visible_pixels": [500, 900, 0, 40],
            }
            for i, label in enumerate(labels)
        ],
    }


def distances(objects):
    centers = np.array([item["center"] for item in objects])
    return np.sort(np.linalg.norm(centers[:, None] - centers[None], axis=-1).ravel())


def test_augmentation_keeps_the_shape_of_a_room():
    truth = room()
    rooms = [augment_room(truth, 0.0, np.random.default_rng(seed)) for seed in range(40)]
    whole = [objects for objects in rooms if len(objects) == 6]
    assert whole
    for objects in whole:
        np.testing.assert_allclose(distances(objects), distances(truth["objects"]), atol=1e-9)
        assert {o["label"] for o in objects} == {o["label"] for o in truth["objects"]}
    assert {len(objects) for objects in rooms} > {3, 4}
    assert {objects[0]["color"] for objects in rooms} != {COLOR_NAMES[0]}


def test_labels_are_permuted_on_request():
    objects = augment_room(room(), 1.0, np.random.default_rng(1))
    assert {o["label"] for o in objects} != {o["label"] for o in room()["objects"]}


@pytest.fixture
def language():
    torch.manual_seed(0)
    return new_language(train_tokenizer(WORDS, 400))


def test_a_step_depends_on_its_number_alone(language):
    objects, recall = ObjectTokens(256, len(COLOR_NAMES)), ObjectRecallHead(256)
    settings = LanguageTraining(batch=2, questions=4)
    objective = LanguageObjective(language, objects, recall, [room(0), room(1)], settings)
    first, second, again = (objective(step) for step in (0, 1, 0))
    assert first["loss"] == again["loss"]
    assert first["loss"] != second["loss"]


def test_attention_prefers_the_same_word_before_any_training(language):
    """The token of the named object outweighs others."""
    attention = language.model.model.language_model.layers[0].self_attn
    torch.manual_seed(1)
    word, other = torch.randn(2, 256)
    with torch.no_grad():
        query = attention.q_proj(word).view(8, 32)
        alike = (query * attention.k_proj(word).view(4, 32).repeat_interleave(2, 0)).sum()
        unlike = (query * attention.k_proj(other).view(4, 32).repeat_interleave(2, 0)).sum()
    assert alike > 5 * abs(unlike)


def test_a_finished_run_is_loaded(language, tmp_path):
    settings = LanguageTraining(batch=1, questions=2, schedule=Schedule(2, 1e-3))
    train_language(language, [room()], settings, tmp_path, resume=False)
    loaded, objects = load_language(tmp_path)
    assert loaded.encode("the red chair") == language.encode("the red chair")
    want = language.model.model.language_model.state_dict()
    for name, value in loaded.model.model.language_model.state_dict().items():
        assert torch.equal(value, want[name])
    assert all(p.requires_grad for p in objects.parameters())
