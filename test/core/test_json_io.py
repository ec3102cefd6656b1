import pytest

from vega3d_ros.core.json_io import JsonError, read_lines, read_object, replacing, write_json


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


def test_a_line_that_was_cut_short_is_left_out_and_mended(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"a": 1}\n\n{"a": 2')
    assert read_lines(file) == [{"a": 1}]
    assert read_lines(file, mend=True) == [{"a": 1}]
    assert file.read_text() == '{"a": 1}\n\n'
    file.write_text('{"a": 1}\n{"a": 2}')
    assert read_lines(file, mend=True) == [{"a": 1}, {"a": 2}]
    assert file.read_text().endswith("2}\n")


@pytest.mark.parametrize("text", ['{"a": 1\n{"a": 2}\n', "[1]\n{}\n", "\xff\n{}\n"])
def test_a_damaged_line_before_the_last_is_named(tmp_path, text):
    file = tmp_path / "log.jsonl"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(JsonError, match=r"log\.jsonl, line 1 is no JSON object"):
        read_lines(file)
    with pytest.raises(JsonError, match="cannot be read"):
        read_lines(tmp_path / "missing.jsonl")
