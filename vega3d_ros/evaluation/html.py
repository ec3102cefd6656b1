"""Pages of one file that need nothing else: tables, bars with intervals, pictures inside."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.metrics.intervals import Estimate

_STYLE = """
:root { --ink:#1c2026; --soft:#5c646e; --line:#dfe2e0; --paper:#fafaf8; --panel:#fff;
  --model:#2166ac; --blind:#b8860b; --constant:#8a8f96; }
* { box-sizing:border-box }
body { margin:0 auto; max-width:72rem; padding:1rem; background:var(--paper); color:var(--ink);
  font:16px/1.5 system-ui,sans-serif; overflow-wrap:anywhere }
h1 { font-size:1.5rem; line-height:1.25 } h2 { font-size:1.15rem; margin:2rem 0 .5rem }
p.note, figcaption, .soft { color:var(--soft); font-size:.9rem }
.scroll { overflow-x:auto }
table { border-collapse:collapse; width:100%; background:var(--panel); font-size:.92rem }
th,td { padding:.3rem .55rem; border-bottom:1px solid var(--line); text-align:left;
  vertical-align:top; overflow-wrap:normal }
th.n,td.n { text-align:right; white-space:nowrap; font-variant-numeric:tabular-nums }
.bar { position:relative; height:.7rem; margin:.2rem 0; background:#eceeec; min-width:6rem }
.bar i { position:absolute; left:0; top:0; bottom:0 }
.bar b { position:absolute; top:45%; height:2px; background:var(--ink) }
.bar u { position:absolute; top:-.15rem; bottom:-.15rem; width:2px; background:#c0392b }
.model i { background:var(--model) } .blind i { background:var(--blind) }
.constant i { background:var(--constant) }
.cases { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));
  gap:1rem }
figure { margin:0; background:var(--panel); border:1px solid var(--line); padding:.6rem }
img { max-width:100%; height:auto; display:block }
dl { display:grid; grid-template-columns:max-content 1fr; gap:.1rem .7rem; margin:.4rem 0 }
dt { color:var(--soft) } dd { margin:0 }
.key span { white-space:nowrap; margin-left:.5rem }
.key i { display:inline-block; width:.8rem; height:.8rem; margin-right:.3rem }
.facts td { overflow-wrap:anywhere } .facts td:first-child { overflow-wrap:normal }
@media (max-width:40rem) {
  th,td { padding:.3rem } table { font-size:.85rem }
  .bars tr { display:grid; grid-template-columns:repeat(4,1fr);
    border-bottom:1px solid var(--line) }
  .bars th,.bars td { border:0; overflow-wrap:anywhere; white-space:normal }
  .bars :is(th,td):first-child,.bars td:last-child { grid-column:1/-1; padding-bottom:0 }
  .bars td:last-child { padding:0 .3rem .3rem }
  .bars th:last-child { display:none }
}
.wrong { color:#a93226 } .right { color:#1e7e34 }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def heading(text: str) -> str:
    """Of a section."""
    return f"<h2>{escape(text)}</h2>"


def note(text: str) -> str:
    """A remark in small print."""
    return f'<p class="note">{escape(text)}</p>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; a column's leading ">" sets it flush right, "<" says that it is HTML."""
    kinds = [column[:1] if column[:1] in "><" else "" for column in columns]
    names = [column.lstrip("><") for column in columns]

    def cell(tag: str, kind: str, text: str) -> str:
        css = ' class="n"' if kind == ">" else ""
        return f"<{tag}{css}>{text if kind == '<' and tag == 'td' else escape(text)}</{tag}>"

    head = "".join(cell("th", k, n) for k, n in zip(kinds, names, strict=True))
    head = f"<tr>{head}</tr>" if any(names) else ""
    css = "bars" if "<" in kinds else "" if head else "facts"
    body = "".join(
        "<tr>" + "".join(cell("td", k, c) for k, c in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table class="{css}">{head}{body}</table></div>'


def bar(estimate: Estimate, kind: str = "model", mark: float | None = None) -> str:
    """A share as a bar with its interval; ``mark`` is a red line across, for comparison."""
    if not estimate.count or not np.isfinite(estimate.value):
        return ""

    def percent(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, value)):.1f}%"

    line = "" if mark is None else f'<u style="left:{percent(mark)}"></u>'
    if np.isfinite(estimate.low):
        span = max(0.0, estimate.high - estimate.low)
        line = f'<b style="left:{percent(estimate.low)};width:{percent(span)}"></b>{line}'
    return f'<div class="bar {kind}"><i style="width:{percent(estimate.value)}"></i>{line}</div>'


def colour(column: str) -> str:
    """The kind of bar for the figures of a model or baseline."""
    return next((kind for kind in ("blind", "constant") if kind in column), "model")


def key() -> str:
    """What the colours of bars mean."""
    colours = (
        ("var(--model)", "model"),
        ("var(--blind)", "blind, reads the words"),
        ("var(--constant)", "constant"),
    )
    marks = " ".join(f'<span><i style="background:{c}"></i>{escape(t)}</span>' for c, t in colours)
    return f'<p class="note key">Bars:{marks}; black lines are 95 % intervals.</p>'


def definition(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and values."""
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs if v)
    return f"<dl>{items}</dl>"


def picture(path: Path, caption: str) -> str:
    """A picture with its bytes inside the page; nothing where there is no file."""
    if not path.is_file():
        return ""
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    data = base64.b64encode(path.read_bytes()).decode()
    words = escape(caption, quote=True)
    return f'<img alt="{words}" src="data:image/{kind};base64,{data}">'
