"""OWLv2."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch

from vega3d_ros.models.detectors.hub.family import AnyTextFamily
from vega3d_ros.models.detectors.hub.folder import corners, pixel_inputs
from vega3d_ros.models.detectors.hub.prompts import without_article

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_CACHED_TEXTS = 1000


class Owl(AnyTextFamily):
    """Each text is embedded for itself, as "a photo of a chair", once, and kept.

    The image is padded to a square at its lower right, so relative boxes are of that square.
    """

    threshold = 0.1
    overlap = 1.0

    def __init__(self, folder: Path, device: str) -> None:
        super().__init__(folder, device)
        self._embeddings: OrderedDict[str, torch.Tensor] = OrderedDict()

    def look(
        self, image: NDArray[np.uint8], texts: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        network = self.network
        pixels = pixel_inputs(self._processor, image, self._device)
        feature_map = network.image_embedder(pixels["pixel_values"])[0]
        features = feature_map.flatten(1, 2)
        logits, _ = network.class_predictor(features, self._embed(texts)[None])
        boxes = network.box_predictor(features, feature_map)
        side = max(image.shape[:2])
        return corners(boxes[0], side, side), logits[0].sigmoid()

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, width]."""
        if new := [text for text in texts if text not in self._embeddings]:
            tokens = self._tokenizer(
                [f"a photo of a {without_article(text)}" for text in new],
                padding="max_length",
                truncation=True,
                max_length=self.network.config.text_config.max_position_embeddings,
                return_tensors="pt",
            ).to(self._device)
            embedded = self.network.owlv2.get_text_features(
                tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).pooler_output
            self._embeddings.update(zip(new, embedded, strict=True))
        stacked = torch.stack([self._embeddings[text] for text in texts])
        for text in texts:
            self._embeddings.move_to_end(text)
        while len(self._embeddings) > _CACHED_TEXTS:
            self._embeddings.popitem(last=False)
        return stacked
