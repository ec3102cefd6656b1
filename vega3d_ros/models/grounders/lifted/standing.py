"""Which things stand on the floor, by name.

A table seen from above shows its top alone: that it reaches down to the floor is known of tables,
not measured. Of names that are in neither list the box itself decides, by how near the floor it
ends.
"""

from __future__ import annotations

_STANDS = frozenset(
    {
        *("armchair", "bathtub", "bed", "bench", "bookcase", "bookshelf", "cabinet", "chair"),
        *("coffee table", "couch", "counter", "desk", "dining table", "dishwasher", "door"),
        *("dresser", "fire hydrant", "floor lamp", "nightstand", "ottoman", "oven", "person"),
        *("refrigerator", "shelf", "sofa", "stool", "table", "toilet", "wardrobe"),
        *("washing machine",),
    }
)
_HIGHER = frozenset(
    {
        *("bottle", "bowl", "clock", "cup", "curtain", "keyboard", "lamp shade", "laptop"),
        *("microwave", "mirror", "monitor", "mouse", "picture", "poster", "sink", "television"),
        *("toaster", "tv", "vase", "whiteboard", "window", "wine glass"),
    }
)


def stands_on_floor(label: str) -> bool | None:
    """Whether things of that name stand on the floor; None where they may or may not."""
    name = label.lower()
    if name in _STANDS:
        return True
    return False if name in _HIGHER else None
