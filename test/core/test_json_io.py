import pytest

from vega3d_ros.core.json_io import JsonError, read_object, replacing, write_json


def test_what_is_written_is_read_again(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, 2.5, None]})
    assert read_object(tmp_path / "a.json") == {"a": [1, 2.5, None]}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[1]", "must hold a JSON object"),
        ("[" * 200_000, "nested too deeply"),
        (None, "cannot be read"),
    ],
)
def test_a_file_without_an_object_is_named(tmp_path, text, says):
    file = tmp_path / "model.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(JsonError, match=says) as caught:
        read_object(file)
    assert str(file) in str(caught.value)


def test_a_file_that_cannot_be_written_whole_keeps_its_old_content(tmp_path):
    file = tmp_path / "a.npz"
    file.write_text("old")

    def write():
        with replacing(file) as scratch:
            assert scratch.suffix == ".npz"
            scratch.write_text("ne")
            raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_value_that_json_does_not_know_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", object())
    assert not list(tmp_path.iterdir())
