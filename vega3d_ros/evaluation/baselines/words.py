"""Which texts are alike by the words in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WORD = re.compile(r"[a-z0-9]+")


class Words:
    """Texts as unit vectors of their words, rare ones weighing more (tf-idf).

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._index: dict[str, int] = {}
        rows, columns = [], []
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.lower()):
                rows.append(row)
                columns.append(self._index.setdefault(word, len(self._index)))
        shape = (len(texts), max(1, len(self._index)))
        counts = csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
        spread = np.bincount(counts.nonzero()[1], minlength=shape[1])
        self._rarity = np.log((1 + len(texts)) / (1 + spread)) + 1
        weighted = counts * self._rarity[None]
        lengths = np.sqrt((weighted * weighted).sum(axis=1))
        self._vectors = csr_array(weighted / np.maximum(lengths, 1e-12)[:, None])

    def nearest(self, text: str, count: int, among: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the texts most alike, best first, of those in ``among``.

        At most ``count``, and none that is less than half as alike as the best.
        """
        query = np.zeros(self._vectors.shape[1])
        for word in _WORD.findall(text.lower()):
            if word in self._index:
                query[self._index[word]] += self._rarity[self._index[word]]
        alike = (self._vectors @ query)[among]
        order = np.argsort(-alike, kind="stable")[:count]
        return among[order[alike[order] >= alike[order[:1]] / 2]]

    def middle(self, among: NDArray[np.int64]) -> int:
        """Index of the text in ``among`` most like all of them."""
        chosen = self._vectors[among]
        return int(among[(chosen @ chosen.mean(axis=0)).argmax()])
