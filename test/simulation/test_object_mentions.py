from vega3d_ros.simulation.object_mentions import Mention, mentions


def test_plurals_colours_and_places():
    text = "How many shelves and a red Trash bin?"
    assert mentions(text) == (
        Mention("shelf", None, len("How many shelves")),
        Mention("trash bin", "red", len("How many shelves and a red Trash bin")),
    )


def test_part_of_a_word_is_no_mention():
    assert mentions("the tablet") == ()
    assert [m.label for m in mentions("the tableware on the table")] == ["tableware", "table"]
