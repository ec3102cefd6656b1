"""Settings from plain values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass as checked

from vega3d_ros.core.settings import STRICT, SettingsError, read_settings


@checked(frozen=True, kw_only=True, config=STRICT)
class Size:
    width: Annotated[int, Field(gt=0)] = 832
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    align: Literal["full", "official"] = "full"


@dataclass(frozen=True)
class Stage:
    count: int
    words: tuple[str, ...] = ()
    size: Size | None = field(default_factory=Size)

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("thirteen brings bad luck; take twelve")


def test_plain_values_become_settings_and_absent_ones_their_defaults():
    read = read_settings(Stage, {"count": 2, "words": ["a"], "size": {"scale": 3}})
    assert read == Stage(2, ("a",), Size(scale=3.0))
    assert read_settings(Stage, {"count": 2, "size": None}).size is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "stage.count is missing"),
        (3, "stage must hold settings by name, not 3"),
        ({"count": "3"}, "stage.count must be a valid integer, not '3'"),
        ({"count": True}, "stage.count must be a valid integer, not True"),
        ({"count": 2.5}, "stage.count must be a valid integer, not 2.5"),
        ({"count": 13}, "thirteen brings bad luck; take twelve"),
        ({"count": 1, "words": ["a", 3]}, "stage.words[1] must be a valid string, not 3"),
        ({"count": 1, "word": 3}, ("unknown setting stage.word (did you mean words?); known: "
         "count, words, size")),
        ({"count": 1, "size": {"colour": 1}}, ("unknown setting stage.size.colour; known: width, "
         "scale, align")),
        ({"count": 1, "size": 3}, "stage.size must hold settings by name, not 3"),
        ({"count": 1, "size": {"width": 0}}, "stage.size.width must be greater than 0, not 0"),
        ({"count": 1, "size": {"scale": float("nan")}}, ("stage.size.scale must be a finite "
         "number, not nan")),
        ({"count": 1, "size": {"align": "top"}}, ("stage.size.align must be 'full' or "
         "'official', not 'top'")),
        ({"count": "9" * 99}, f"stage.count must be a valid integer, not '{'9' * 59}..."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_sentence(values, said):
    with pytest.raises(SettingsError) as error:
        read_settings(Stage, values, "stage")
    assert str(error.value) == said


def test_without_a_topic_the_setting_stands_alone():
    with pytest.raises(SettingsError, match=r"^size.width must be"):
        read_settings(Stage, {"count": 1, "size": {"width": "x"}})


def test_settings_that_code_makes_are_checked_too():
    assert replace(Size(), width=3).width == 3
    with pytest.raises(ValidationError, match="greater than 0"):
        replace(Size(), width=-1)
