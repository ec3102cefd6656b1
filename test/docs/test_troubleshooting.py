"""docs/troubleshooting.md has an entry for whatever the node can say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text().replace("`", "")
PLACE = "\0"  # stands for the fields of an f-string


def tree_of(path):
    return ast.parse((ROOT / "vega3d_ros" / path).read_text())


def text_of(node):
    """A literal or f-string as text, each field a PLACE; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else PLACE for p in node.values)
        return "".join(parts)
    return None


def texts_in(tree):
    """Every text of several words that is no docstring, as the code has it."""
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.JoinedStr, ast.Expr))
        for child in ast.iter_child_nodes(node)
    }
    texts = {text_of(node) for node in ast.walk(tree) if id(node) not in skipped}
    return {text for text in texts - {None} if re.search(r"\b[a-z]{2,}\s", text)}


def shown_before_the_remedy(text):
    """The pattern of a text up to the first semicolon or colon that has words before it."""
    parts = re.split("(; |: )", text.replace("`", ""))
    head = parts.pop(0)
    while parts and len(re.findall("[a-z]{2,}", head)) < 2:
        head += parts.pop(0) + parts.pop(0)
    return r".{0,60}?".join(re.escape(part) for part in head.rstrip(";: ").split(PLACE))


def reasons_of_frames():
    """What FrameAssembler counts images by, dropped or lacking something."""
    found = set()
    for node in ast.walk(tree_of("sensing/frame_assembly.py")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            place = {"_drop": 1, "_on_drop": 1, "_lack": 0}.get(node.func.attr)
            if place is not None:
                found.add(text_of(node.args[place]))
    return sorted(found - {None})


def statistics():
    """Names under which the node counts, times and notes things."""
    found = set()
    for file in (ROOT / "vega3d_ros" / "ros").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("_statistics.count", "_statistics.note", "_statistics.tick")
            ):
                found.add(text_of(node.args[0]))
    return sorted(found - {None})


def error_codes():
    return re.findall(
        r"^uint16 (\w+)=", (ROOT / "msg" / "ErrorCode.msg").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("text", sorted(texts_in(tree_of("ros/diagnostics.py"))))
def test_every_text_of_the_diagnostics_has_its_entry(text):
    assert re.search(shown_before_the_remedy(text), PAGE), text.replace(PLACE, "{}")


@pytest.mark.parametrize("reason", reasons_of_frames())
def test_every_reason_why_an_image_is_dropped_or_lacks_something_has_its_entry(reason):
    assert f"\n| {reason} |" in PAGE


@pytest.mark.parametrize("name", statistics())
def test_every_value_of_the_statistics_has_its_entry(name):
    keys = "\n".join(re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE))
    assert re.search(shown_before_the_remedy(name), keys), name


@pytest.mark.parametrize("code", [code for code in error_codes() if code != "NONE"])
def test_every_error_code_has_its_entry(code):
    assert f"\n| {code} |" in PAGE


def test_texts_and_reasons_are_found_at_all():
    assert len(texts_in(tree_of("ros/diagnostics.py"))) > 20
    assert {"out of memory", "scenes"} <= set(statistics())
    assert {"late", "no depth", "unreadable image"} <= set(reasons_of_frames())


def test_a_text_without_an_entry_is_noticed():
    (text,) = texts_in(ast.parse('message = f"the lens of {camera} is dirty; wipe it"'))
    assert shown_before_the_remedy(text) == r"the\ lens\ of\ .{0,60}?\ is\ dirty"
    assert not re.search(shown_before_the_remedy(text), PAGE)
