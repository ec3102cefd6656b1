"""Scores of captions against references, by pycocoevalcap: CIDEr, BLEU, ROUGE-L and METEOR.

Texts are scored as they are: each benchmark wraps and cleans its own. METEOR is a Java program;
without ``java`` there is no METEOR, and nothing stands in for it.
"""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from vega3d_ros.evaluation.metrics.intervals import (
    NOTHING,
    Estimate,
    mean_over_clips,
    sums_over_clips,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)

_ORDERS = 4
# What keeps pycocoevalcap's BLEU from dividing by zero.
_SMALL, _TINY = 1e-9, 1e-15


@dataclass(frozen=True, eq=False)
class CaptionScores:
    """Scores of a corpus.

    Attributes:
        figures: "CIDEr", "BLEU-1" to "BLEU-4", "ROUGE-L" and "METEOR", which has no interval and,
            without Java, no value.
        items: The same of each caption alone, [N], in the order of the references; CIDEr with the
            corpus' word frequencies.
    """

    figures: dict[str, Estimate]
    items: dict[str, NDArray[np.float64]]


def corpus_scores(
    references: Mapping[str, Sequence[str]],
    candidates: Mapping[str, str],
    scenes: Mapping[str, Hashable],
) -> CaptionScores:
    """Score one candidate for each key of the references.

    Args:
        references: At least one text for each key.
        candidates: One text for each key.
        scenes: Where each key's text was written, for intervals.
    """
    if not references:
        names = ("CIDEr", "ROUGE-L", *(f"BLEU-{n + 1}" for n in range(_ORDERS)), "METEOR")
        return CaptionScores(dict.fromkeys(names, NOTHING), {})
    true = {key: list(texts) for key, texts in references.items()}
    said = {key: [candidates[key]] for key in true}
    where = [scenes[key] for key in true]
    items: dict[str, NDArray[np.float64]] = {}
    for name, scorer in (("CIDEr", Cider()), ("ROUGE-L", Rouge())):
        items[name] = np.asarray(scorer.compute_score(true, said)[1], np.float64)
    figures = {name: mean_over_clips(values, where) for name, values in items.items()}

    bleu = BleuScorer(n=_ORDERS)
    for key, texts in true.items():
        bleu += (said[key][0], texts)
    alone = bleu.compute_score(option="closest")[1]
    parts = _bleu_parts(bleu)
    for order in range(1, _ORDERS + 1):
        items[f"BLEU-{order}"] = np.asarray(alone[order - 1], np.float64)
        figures[f"BLEU-{order}"] = sums_over_clips(parts, where, partial(_bleu, order=order))
    figures["METEOR"] = NOTHING
    if shutil.which("java"):
        meteor = Meteor()
        try:
            total, values = meteor.compute_score(_lines(true), _lines(said))
        except (OSError, ValueError) as error:
            meteor.lock.release()  # held by METEOR, which would wait for it at its end
            _LOGGER.warning("METEOR is n/a, its Java program failed: %s", error)
        else:
            items["METEOR"] = np.asarray(values, np.float64)
            figures["METEOR"] = Estimate(float(total), np.nan, np.nan, len(values))
    return CaptionScores(figures, items)


def _lines(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Texts without line breaks, because METEOR's program scores line by line."""
    return {key: [re.sub(r"[\r\n]+", " ", text) for text in found] for key, found in texts.items()}


def _bleu_parts(scorer: BleuScorer) -> NDArray[np.float64]:
    """Of each caption: right n-grams, n-grams, length, and length of the closest reference."""
    rows = []
    for found in scorer.ctest:
        length = found["testlen"]
        closest = min((abs(other - length), other) for other in found["reflen"])[1]
        rows.append([*found["correct"], *found["guess"], length, closest])
    return np.array(rows, np.float64)


def _bleu(sums: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """BLEU of n-grams up to ``order``, [...], of summed parts [..., 10]."""
    correct, guess = sums[..., :order], sums[..., _ORDERS : _ORDERS + order]
    precision = np.prod((correct + _TINY) / (guess + _SMALL), axis=-1) ** (1 / order)
    ratio = (sums[..., -2] + _TINY) / (sums[..., -1] + _SMALL)
    result: NDArray[np.float64] = precision * np.exp(np.minimum(0.0, 1 - 1 / ratio))
    return result
