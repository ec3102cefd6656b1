"""A folder of furniture meshes: MJCF with one body per instance, OBJ meshes and PNG textures.

The format is that of the AWS RoboMaker small house as exported to MuJoCo: ``house.xml`` lists
textures, materials and bodies (``Bed_01_001``: first instance of the model ``Bed_01``) whose geoms
name the meshes. The layout of the house is ignored.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIANTS = 4
"""Number of sizes of each model."""
HELDOUT_VARIANT = VARIANTS - 1
"""The size, of meshes and primitives, that training clips never hold."""
HELDOUT_MODELS = frozenset({"ChairD_01", "BalconyTable_01", "PortraitE_01"})
"""Models that training clips never hold."""

MODELS: dict[str, tuple[str, str]] = {
    "AirconditionerA_01": ("air conditioner", "wall"),
    "AirconditionerB_01": ("air conditioner", "floor"),
    "BalconyTable_01": ("table", "floor"),
    "Bed_01": ("bed", "floor"),
    "ChairA_01": ("chair", "floor"),
    "ChairD_01": ("chair", "floor"),
    "CoffeeTable_01": ("table", "floor"),
    "Curtain_01": ("curtain", "wall"),
    "DeskPortraitA_01": ("picture", "top"),
    "DeskPortraitD_01": ("picture", "top"),
    "Door_01": ("door", "wall"),
    "Dumbbell_01": ("barbell", "floor"),
    "FitnessEquipment_01": ("exercise machine", "floor"),
    "KitchenTable_01": ("table", "floor"),
    "NightStand_01": ("nightstand", "floor"),
    "PortraitA_01": ("picture", "wall"),
    "PortraitA_02": ("picture", "wall"),
    "PortraitB_01": ("picture", "wall"),
    "PortraitC_01": ("picture", "wall"),
    "PortraitD_01": ("picture", "wall"),
    "PortraitE_01": ("picture", "wall"),
    "ReadingDesk_01": ("desk", "floor"),
    "Refrigerator_01": ("refrigerator", "floor"),
    "RoomWindow_01": ("window", "wall"),
    "ShoeRack_01": ("shoe rack", "floor"),
    "SofaC_01": ("sofa", "floor"),
    "TVCabinet_01": ("cabinet", "floor"),
    "TV_01": ("tv", "wall"),
    "Tableware_01": ("tableware", "top"),
    "Trash_01": ("trash bin", "floor"),
    "Vase_01": ("vase", "top"),
    "Wardrobe_01": ("wardrobe", "floor"),
}
"""Label and place ("floor", "wall", "top" of something) of each model; others are ignored."""


class FurnitureError(Vega3dError, ValueError):
    """A furniture folder that cannot be used; the message says what it lacks."""


@dataclass(frozen=True, eq=False)
class MeshModel:
    """One model of the folder.

    Attributes:
        name: A key of ``MODELS``.
        label: Its label.
        place: "floor", "wall" or "top".
        geoms: (mesh file, material name) of each of its geoms.
        low: Smallest corner of its vertices [3], metres, unscaled.
        high: Largest corner [3].
    """

    name: str
    label: str
    place: str
    geoms: tuple[tuple[Path, str], ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FurnitureFolder:
    """The models of a folder, and its materials as (name, texture file)."""

    models: tuple[MeshModel, ...]
    materials: tuple[tuple[str, Path], ...]


def _bounds(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    vertices = [
        [float(value) for value in line.split()[1:4]]
        for line in path.read_text().splitlines()
        if line.startswith("v ")
    ]
    if not vertices:
        msg = f"{path} has no vertices; is it a Wavefront OBJ file?"
        raise FurnitureError(msg)
    return np.min(vertices, axis=0), np.max(vertices, axis=0)


def read_furniture(folder: str | Path) -> FurnitureFolder:
    """Read the known models of a furniture folder (``house.xml``, OBJ and PNG files).

    Raises:
        FurnitureError: If a file is missing or no model is known.
    """
    folder = Path(folder)
    scene = folder / "house.xml"
    if not scene.is_file():
        msg = (
            f"{folder} is no furniture folder: house.xml is missing; give the folder that holds it"
        )
        raise FurnitureError(msg)
    try:
        root = ET.parse(scene).getroot()  # noqa: S314 - the user names the file
    except ET.ParseError as error:
        msg = f"{scene} is not valid XML: {error}"
        raise FurnitureError(msg) from error
    files = {item.get("name", ""): folder / item.get("file", "") for item in root.iter("texture")}
    textures = {
        item.get("name", ""): files[item.get("texture", "")]
        for item in root.iter("material")
        if item.get("texture", "") in files
    }
    meshes = {item.get("name", ""): folder / item.get("file", "") for item in root.iter("mesh")}
    found: dict[str, MeshModel] = {}
    for body in root.iter("body"):
        name = re.sub(r"_\d+$", "", body.get("name", ""))
        geoms = [g for g in body.findall("geom") if g.get("mesh", "") in meshes]
        if name not in MODELS or name in found or not geoms:
            continue
        paths = [meshes[geom.get("mesh", "")] for geom in geoms]
        materials = [m if (m := geom.get("material", "")) in textures else "" for geom in geoms]
        missing = [p for p in (*paths, *(textures[m] for m in materials if m)) if not p.is_file()]
        if missing:
            msg = f"{scene} names {missing[0].name}, which is missing in {folder}; copy it there"
            raise FurnitureError(msg)
        low, high = zip(*map(_bounds, paths), strict=True)
        found[name] = MeshModel(
            name,
            *MODELS[name],
            tuple(zip(paths, materials, strict=True)),
            np.min(low, axis=0),
            np.max(high, axis=0),
        )
    if not found:
        msg = f"{scene} holds none of the known models ({', '.join(sorted(MODELS)[:4])}, ...)"
        raise FurnitureError(msg)
    used = {material for model in found.values() for _, material in model.geoms if material}
    return FurnitureFolder(
        tuple(found[name] for name in sorted(found)),
        tuple((name, textures[name]) for name in sorted(used)),
    )


def variant_scale(model: str, variant: int) -> NDArray[np.float64]:
    """Scale [3] of a model's size variant, determined by name and number."""
    rng = np.random.default_rng([variant, *model.encode()])
    return np.asarray(rng.uniform(0.86, 1.16) * rng.uniform(0.93, 1.07, 3), dtype=np.float64)
