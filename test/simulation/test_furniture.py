import numpy as np
import pytest

from vega3d_ros.simulation.furniture import VARIANTS, FurnitureError, read_furniture, variant_scale


def test_reads_the_models_it_knows(furniture_folder):
    furniture = read_furniture(furniture_folder)
    wardrobe = next(model for model in furniture.models if model.label == "wardrobe")
    assert wardrobe.place == "floor"
    assert [path.name for path, _ in wardrobe.geoms] == ["cube.obj"]
    np.testing.assert_array_equal([wardrobe.low, wardrobe.high], [[0, 0, 0], [1, 1, 1]])
    assert furniture.materials == ()


def test_sizes_differ_between_variants_and_stay_the_same():
    scales = [variant_scale("Bed_01", variant) for variant in range(VARIANTS)]
    assert len({tuple(scale) for scale in scales}) == VARIANTS
    np.testing.assert_array_equal(scales[1], variant_scale("Bed_01", 1))
    assert 0.75 < np.min(scales) <= np.max(scales) < 1.3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "house.xml is missing"),
        ({"house.xml": "<mujoco>"}, "not valid XML"),
        ({"house.xml": "<mujoco/>"}, "none of the known models"),
        (
            {
                "house.xml": '<m><mesh name="a" file="a.obj"/><body name="Bed_01_001">'
                '<geom mesh="a"/></body></m>'
            },
            "a.obj, which is missing in",
        ),
        (
            {
                "house.xml": '<m><mesh name="a" file="a.obj"/><body name="Bed_01_001">'
                '<geom mesh="a"/></body></m>',
                "a.obj": "not a mesh",
            },
            "no vertices",
        ),
    ],
)
def test_says_what_is_wrong_with_a_folder(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FurnitureError, match=message):
        read_furniture(tmp_path)
