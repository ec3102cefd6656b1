"""Images of rooms: RGB, depth and instance ids by MuJoCo's renderer over EGL.

One model per process holds every mesh in every size and a stock of shapes for primitives. Loading
a room only moves, resizes and recolours them, which takes a millisecond.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np

# EGL needs no display. Mesa's software rasteriser is faster here without threads of its own.
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "0")

import mujoco

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.frames import Camera
from vega3d_ros.simulation.furniture import VARIANTS, FurnitureFolder, variant_scale
from vega3d_ros.simulation.primitives import MAX_PARTS, Part
from vega3d_ros.simulation.rooms import MAX_OBJECTS, PlacedObject, Room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3

_SLABS = 12
_SURFACES = 16
_SHOWN, _HIDDEN = 0, 5
_NEAR_M, _FAR_M = 0.05, 30.0
_GEOM_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}


class RenderError(Vega3dError, RuntimeError):
    """Rendering is impossible on this machine or for this room; the message says what to do."""


@dataclass(frozen=True, eq=False)
class View:
    """One rendered image.

    Attributes:
        rgb: [H, W, 3] uint8.
        depth_m: [H, W] float32, along the optical axis.
        instance: [H, W] uint8; 0 for the room, k + 1 for the room's object k.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    instance: NDArray[np.uint8]


def pinhole_camera(width: int, height: int, fovy_deg: float) -> Camera:
    """The pinhole camera of a vertical field of view, its axis through the image centre."""
    focal = height / 2 / np.tan(np.radians(fovy_deg) / 2)
    return Camera(
        width=width, height=height, fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2
    )


def _surface_assets() -> str:
    """Plain, chequered and speckled materials for walls and floors; rooms tint them."""
    rng = np.random.default_rng(3)
    assets = []
    for i in range(_SURFACES):
        light = rng.uniform(0.82, 1.0)
        dark = light - rng.uniform(0.02, 0.22)
        kind = ("flat", "checker", "gradient", "flat")[i % 4]
        mark = 'mark="random" random="0.2"' if i % 4 == 3 else 'mark="none"'
        assets.append(
            f'<texture name="surface{i}" type="2d" builtin="{kind}" {mark} width="128" '
            f'height="128" rgb1="{light} {light} {light}" rgb2="{dark} {dark} {dark}" '
            f'markrgb="{dark} {dark} {dark}"/><material name="surface{i}" texture="surface{i}" '
            f'texrepeat="{rng.integers(2, 10)} {rng.integers(2, 10)}" specular="0" shininess="0"/>'
        )
    return "".join(assets)


def _model_xml(furniture: FurnitureFolder | None, width: int, height: int) -> str:
    assets, bodies = [_surface_assets()], []
    flags = 'contype="0" conaffinity="0"'
    if furniture is not None:
        assets += [
            f'<texture name={quoteattr(name)} type="2d" file={quoteattr(str(path.resolve()))}/>'
            f"<material name={quoteattr(name)} texture={quoteattr(name)} "
            'specular="0.1" shininess="0.1"/>'
            for name, path in furniture.materials
        ]
        for model in furniture.models:
            for variant in range(VARIANTS):
                scale = " ".join(f"{s:.6f}" for s in variant_scale(model.name, variant))
                geoms = ""
                for i, (path, material) in enumerate(model.geoms):
                    name = f"{model.name}.{variant}.{i}"
                    assets.append(
                        f'<mesh name="{name}" file={quoteattr(str(path.resolve()))} '
                        f'scale="{scale}" inertia="shell"/>'
                    )
                    paint = f"material={quoteattr(material)}" if material else ""
                    geoms += f'<geom type="mesh" mesh="{name}" {paint} group="{_HIDDEN}" {flags}/>'
                body = f'name="{model.name}.{variant}" mocap="true"'
                bodies.append(f"<body {body}>{geoms}</body>")
    part = f'<geom type="box" size=".1 .1 .1" group="{_HIDDEN}" {flags}/>'
    bodies += [
        f'<body name="primitive{i}" mocap="true">{part * MAX_PARTS}</body>'
        for i in range(MAX_OBJECTS)
    ]
    slabs = "".join(
        f'<geom name="slab{i}" type="box" size="1 1 1" material="surface0" group="{_HIDDEN}" '
        f"{flags}/>"
        for i in range(_SLABS)
    )
    lights = "".join(
        f'<light name="light{i}" pos="0 0 2" dir="0 0 -1" castshadow="false"/>' for i in range(2)
    )
    return f"""<mujoco><compiler balanceinertia="true"/>
<visual><global offwidth="{width}" offheight="{height}"/><quality offsamples="4"/>
<map znear="{_NEAR_M}" zfar="{_FAR_M}"/></visual><statistic extent="1" center="0 0 1"/>
<asset>{"".join(assets)}</asset><worldbody>{lights}{slabs}{"".join(bodies)}
<camera name="camera" fovy="55"/></worldbody></mujoco>"""


def _free(gl: mujoco.GLContext, context: mujoco.MjrContext) -> None:
    """Free GL objects in their own context; in another they would free another renderer's."""
    gl.make_current()
    context.free()
    gl.free()


class RoomRenderer:
    """Renders rooms, which may hold meshes of ``furniture``, in one thread of one process.

    Raises:
        RenderError: If no EGL context can be made or a mesh or texture cannot be read.
    """

    def __init__(
        self, width: int = 224, height: int = 168, furniture: FurnitureFolder | None = None
    ) -> None:
        try:
            self._model = mujoco.MjModel.from_xml_string(_model_xml(furniture, width, height))
        except ValueError as error:
            msg = f"the furniture cannot be compiled: {error}"
            raise RenderError(msg) from error
        self._data = mujoco.MjData(self._model)
        # Otherwise MuJoCo ignores changes to a geom whose compiled pose equals its body's.
        self._model.geom_sameframe[:] = 0
        try:
            self._gl = mujoco.GLContext(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
            # Zero at infinity: floats are dense there, so that far depth keeps millimetres.
            self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        except (RuntimeError, AttributeError, ImportError, mujoco.FatalError) as error:
            msg = (
                f"cannot render without a display: {error}. Simulation needs EGL "
                "(Debian and Ubuntu: apt install libegl1 libgl1-mesa-dri) and MUJOCO_GL=egl"
            )
            raise RenderError(msg) from error
        self._scene = mujoco.MjvScene(self._model, maxgeom=2000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[_SHOWN] = 1
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = 0
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._rgb = np.empty((height, width, 3), np.uint8)
        self._depth = np.empty((height, width), np.float32)
        self._instance_of_geom = np.zeros(self._model.ngeom, np.uint8)
        self.width, self.height = width, height

        self._free = weakref.finalize(self, _free, self._gl, self._context)
        self._free.atexit = False  # EGL may be gone by then; the system frees what is left

    def close(self) -> None:
        """Free the GL context; the renderer cannot be used afterwards."""
        self._free()

    def load_room(self, room: Room, rng: np.random.Generator) -> None:
        """Load a room; ``rng`` draws the colours of walls and floor and the lights.

        Raises:
            RenderError: If the room holds a mesh that is not in the renderer's furniture.
        """
        model = self._model
        model.geom_group[:] = _HIDDEN
        self._instance_of_geom[:] = 0
        self._load_shell(room, rng)
        free = iter(range(MAX_OBJECTS))
        for index, item in enumerate(room.objects):
            name = f"{item.model}.{item.variant}" if item.mesh else f"primitive{next(free)}"
            body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
            if body < 0:
                msg = f"the room holds {item.model}, which this renderer's furniture folder lacks"
                raise RenderError(msg)
            first = model.body_geomadr[body]
            geoms = slice(first, first + model.body_geomnum[body])
            if item.mesh:
                tint = np.clip(rng.uniform(0.8, 1.0) + rng.normal(0, 0.04, 3), 0, 1)
                model.geom_rgba[geoms, :3] = tint
            else:
                geoms = slice(first, first + len(item.parts))
                for geom, part in zip(
                    range(first, first + len(item.parts)), item.parts, strict=True
                ):
                    self._set_shape(geom, part)
            model.geom_group[geoms] = _SHOWN
            self._instance_of_geom[geoms] = index + 1
            self._set_pose(int(model.body_mocapid[body]), item)
        mujoco.mj_kinematics(model, self._data)

    def _load_shell(self, room: Room, rng: np.random.Generator) -> None:
        model = self._model
        looks = {}
        for kind, (low, high), saturation in (
            ("floor", (0.35, 0.9), 0.22),
            ("wall", (0.6, 1.0), 0.10),
            ("ceiling", (0.85, 1.0), 0.03),
        ):
            warm = np.array([1.0, 0.0, -1.0]) * rng.uniform(-0.4, 1.0)
            tint = rng.uniform(low, high) * (
                1 + saturation * (warm + rng.normal(0, 0.35, 3)) * rng.random()
            )
            looks[kind] = rng.integers(_SURFACES), np.clip(tint, 0, 1)
        for i, slab in enumerate(room.slabs):
            material, tint = looks[slab.kind]
            geom = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, f"slab{i}")
            model.geom_pos[geom], model.geom_size[geom] = slab.center, slab.half
            model.geom_rgba[geom, :3] = np.clip(tint * rng.uniform(0.93, 1.05), 0, 1)
            model.geom_matid[geom] = mujoco.mj_name2id(
                model, mujoco.mjtObj.mjOBJ_MATERIAL, f"surface{material}"
            )
            model.geom_group[geom] = _SHOWN
        for light in range(2):
            x = rng.uniform(-0.5, 0.5) * room.width_m
            y = rng.uniform(-0.5, 0.5) * room.depth_m
            model.light_pos[light] = x, y, room.height_m - 0.2
            model.light_diffuse[light] = rng.uniform(0.15, 0.5) * (1 - rng.uniform(0, 0.12, 3))
        model.vis.headlight.ambient[:] = rng.uniform(0.38, 0.62)
        model.vis.headlight.diffuse[:] = rng.uniform(0.2, 0.4)
        model.vis.headlight.specular[:] = 0

    def _set_shape(self, geom: int, part: Part) -> None:
        model = self._model
        half = part.half[[0, 2, 2]] if part.shape == "cylinder" else part.half
        model.geom_type[geom] = _GEOM_TYPES[part.shape]
        model.geom_pos[geom], model.geom_size[geom] = part.center, half
        model.geom_rgba[geom, :3] = part.rgb

    def _set_pose(self, mocap: int, item: PlacedObject) -> None:
        origin = np.zeros(3)
        if item.mesh is not None:
            origin = (item.mesh.low + item.mesh.high) / 2 * variant_scale(item.model, item.variant)
        c, s = np.cos(item.yaw), np.sin(item.yaw)
        offset = np.array(
            [c * origin[0] - s * origin[1], s * origin[0] + c * origin[1], origin[2]]
        )
        self._data.mocap_pos[mocap] = item.center - offset
        self._data.mocap_quat[mocap] = np.cos(item.yaw / 2), 0, 0, np.sin(item.yaw / 2)

    def render(self, pose: SE3, camera: Camera) -> View:
        """Render from ``pose`` (map from optical) with ``camera`` (square, centred pixels)."""
        model, scene, context = self._model, self._scene, self._context
        self._gl.make_current()
        model.cam_fovy[0] = np.degrees(2 * np.arctan(self.height / 2 / camera.fy))
        model.cam_pos[0] = pose.translation
        # MuJoCo's cameras look along -z with y up.
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, (pose.rotation * [1, -1, -1]).ravel())
        model.cam_quat[0] = quaternion
        mujoco.mj_camlight(model, self._data)
        mujoco.mjv_updateScene(
            model, self._data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL, scene
        )
        self._set_segmentation(on=False)
        mujoco.mjr_render(self._rect, scene, context)
        mujoco.mjr_readPixels(self._rgb, None, self._rect, context)
        rgb = self._rgb[::-1].copy()
        # Ids and depth come from a pass without antialiasing: one surface per pixel, no mixtures.
        self._set_segmentation(on=True)
        mujoco.mjr_render(self._rect, scene, context)
        mujoco.mjr_readPixels(self._rgb, self._depth, self._rect, context)
        codes = self._rgb[::-1].astype(np.int32) @ np.array([1, 256, 65536])
        table = np.zeros(max(scene.ngeom + 1, int(codes.max()) + 1), np.uint8)
        for i in range(scene.ngeom):
            geom = scene.geoms[i]
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = self._instance_of_geom[geom.objid]
        return View(rgb, self._metres(self._depth[::-1]), table[codes])

    def _set_segmentation(self, *, on: bool) -> None:
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = on
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = on

    @staticmethod
    def _metres(depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Depth buffer (1 at the near plane, 0 at the far plane) to metres along the axis."""
        inverse = 1 / _FAR_M + depth.astype(np.float64) * (1 / _NEAR_M - 1 / _FAR_M)
        return (1 / inverse).astype(np.float32)
