"""What the pages name exists: files, headings, links, and what their Python snippets import."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder, pattern in (
        (".", "*.md"),
        ("docs", "**/*.md"),
        ("benchmarks", "*.md"),
        ("examples", "*.md"),
    )
    for page in (ROOT / folder).glob(pattern)
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES_OF_PAGES = [str(page.relative_to(ROOT)) for page in PAGES]


def prose(page):
    return FENCE.sub("", page.read_text())


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=NAMES_OF_PAGES)
def test_every_link_inside_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES_OF_PAGES)
def test_every_source_file_that_is_named_exists(page):
    named = re.findall(r"`([\w-]+(?:/[\w.-]+)*/[\w-]+\.(?:py|yaml|xml|msg|md|cff))\b", prose(page))
    places = (ROOT, ROOT / "vega3d_ros", ROOT / "vega3d_ros" / "models", ROOT / "test")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES_OF_PAGES)
def test_what_snippets_import_from_the_package_is_there(page):
    for language, snippet in FENCE.findall(page.read_text()):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("vega3d_ros"):
                module = importlib.import_module(node.module)
                assert [
                    alias.name for alias in node.names if not hasattr(module, alias.name)
                ] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES_OF_PAGES)
def test_every_module_that_is_named_can_be_imported(page):
    for name in re.findall(r"(?:`|^::: )(vega3d_ros(?:\.\w+)+)\b", prose(page), re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_a_page_of_every_kind_is_looked_at():
    assert {"README.md", "docs/nano.md", "examples/README.md"} <= set(NAMES_OF_PAGES)
