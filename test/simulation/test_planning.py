import numpy as np
import pytest

from vega3d_ros.core.geometry import Box3D, iou_oriented
from vega3d_ros.simulation.furniture import HELDOUT_MODELS, HELDOUT_VARIANT, read_furniture
from vega3d_ros.simulation.planning import RoomError, plan_home, plan_room
from vega3d_ros.simulation.primitives import COLORS, MAX_PARTS, PRIMITIVES, build_primitive
from vega3d_ros.simulation.rooms import LABELS, MAX_OBJECTS


def _rooms(split, models=(), count=25):
    return [plan_room(np.random.default_rng([seed, 1]), split, models) for seed in range(count)]


def _boxes(room):
    return [Box3D.upright(item.center, item.size, item.yaw) for item in room.objects]


@pytest.mark.parametrize("label", PRIMITIVES)
@pytest.mark.parametrize("seed", range(4))
def test_primitive_fills_its_box(label, seed):
    parts, size = build_primitive(label, "red", 1.1, np.random.default_rng(seed))
    assert 1 <= len(parts) <= MAX_PARTS
    low = np.min([part.center - part.half for part in parts], axis=0)
    high = np.max([part.center + part.half for part in parts], axis=0)
    np.testing.assert_allclose([low, high], [-size / 2, size / 2], atol=1e-9)
    assert size.max() < 2.6
    assert size.min() > 0.02


@pytest.mark.parametrize("label", [k for k, kind in PRIMITIVES.items() if kind.named_color])
def test_the_named_colour_is_the_colour_of_most_of_it(label):
    parts, _ = build_primitive(label, "blue", 1.0, np.random.default_rng(0))
    shown = {True: 0, False: 0}
    # From the front, through a grid of parallel rays: the part that each meets first.
    for y in np.linspace(-1, 1, 81):
        for z in np.linspace(-1, 1, 81):
            hit = [p for p in parts if (np.abs([y, z] - p.center[1:]) < p.half[1:]).all()]
            if hit:
                front = max(hit, key=lambda part: part.center[0] + part.half[0])
                distance = {k: np.linalg.norm(front.rgb - np.array(v)) for k, v in COLORS.items()}
                shown[min(distance, key=distance.get) == "blue"] += 1
    assert shown[True] > 1.5 * shown[False]


def test_objects_stand_inside_and_apart():
    for room in [*_rooms("train"), *_rooms("heldout", count=10)]:
        assert len({item.id for item in room.objects}) == len(room.objects) <= MAX_OBJECTS
        boxes = _boxes(room)
        for box, item in zip(boxes, room.objects, strict=True):
            low, high = box.bounds
            half = [room.width_m / 2, room.depth_m / 2]
            assert item.label in LABELS
            assert (low[:2] > np.negative(half) - 1e-6).all()
            assert (high[:2] < np.array(half) + 1e-6).all()
            assert low[2] > -1e-6
            assert high[2] < room.height_m
        overlaps = [iou_oriented(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert max(overlaps, default=0) < 1e-9


def test_training_never_holds_what_is_held_out(furniture_folder):
    models = read_furniture(furniture_folder).models
    assert {model.name for model in models} == {"Wardrobe_01", "ChairD_01"}
    training = [item for room in _rooms("train", models) for item in room.objects]
    assert not any(item.heldout for item in training)
    assert {item.variant for item in training} == set(range(HELDOUT_VARIANT))
    assert any(item.mesh for item in training)
    heldout = [item for room in _rooms("heldout", models) for item in room.objects]
    assert {item.heldout for item in heldout} == {True, False}
    assert HELDOUT_MODELS & {item.model for item in heldout}


def test_same_seed_same_room():
    first, again = (plan_room(np.random.default_rng(3), "train") for _ in range(2))
    assert [(o.id, o.color, o.center.tolist(), o.yaw) for o in first.objects] == [
        (o.id, o.color, o.center.tolist(), o.yaw) for o in again.objects
    ]


def test_no_mesh_is_used_twice_in_a_home(furniture_folder):
    models = read_furniture(furniture_folder).models
    for seed in range(8):
        home = plan_home(np.random.default_rng(seed), "heldout", models)
        meshes = [(item.model, item.variant) for item in home.objects if item.mesh]
        assert len(set(meshes)) == len(meshes)
        assert len({item.id for item in home.objects}) == len(home.objects) <= MAX_OBJECTS
        boxes = _boxes(home)
        overlaps = [iou_oriented(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert max(overlaps, default=0) < 1e-9


def test_walls_between_rooms_are_not_free_but_the_doorway_is():
    home = plan_home(np.random.default_rng(1), "train")
    lintel = home.slabs[-1]
    x, y = lintel.center[:2]
    assert home.is_free(x, y, 0.35)
    assert not home.is_free(x, y + 0.9, 0.05)


def test_impossible_rooms_are_refused():
    with pytest.raises(RoomError, match="'test'"):
        plan_room(np.random.default_rng(0), "test")
    with pytest.raises(RoomError, match="at most 16"):
        plan_room(np.random.default_rng(0), "train", objects=(3, 40))
