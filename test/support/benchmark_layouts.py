"""Small data in the layouts of the published benchmarks."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np

SCENES = ("scannet/scene0011_00", "scannet/scene0025_00", "scannet/scene0030_00")
FRAMES = 5
ALIGN = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 0.1], [0, 0, 0, 1]])
LOOKS_ALONG_X = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]])
DEPTH_CAMERA = np.array([[30.0, 0, 15.5, 0], [0, 31, 11.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
BOXES = [[2.0, 0.0, 0.5, 0.6, 0.6, 1.0], [2.5, -1.0, 0.4, 1.2, 0.8, 0.8]]


def _write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def infos():
    """What EmbodiedScan says of the scenes, and of one of another data set."""
    intrinsics = DEPTH_CAMERA.copy()
    items = [
        {
            "sample_idx": scene,
            "axis_align_matrix": ALIGN,
            "depth_cam2img": intrinsics,
            "cam2img": intrinsics,
            "images": [
                {
                    "img_path": f"scannet/posed_images/{scene[8:]}/{10 * i:05d}.jpg",
                    "cam2global": np.eye(4, dtype=np.float32),
                    "visible_instance_ids": [i, i + 1],
                }
                for i in range(FRAMES)
            ],
        }
        for scene in SCENES
    ]
    items.append({"sample_idx": "3rscan/abc", "images": [], "axis_align_matrix": np.eye(4)})
    return {"metainfo": {"classes": {"chair": np.int64(1)}}, "data_list": items}


def _images(folder, seed):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(FRAMES):
        name = folder / f"{10 * i:05d}"
        cv2.imwrite(f"{name}.jpg", rng.integers(0, 255, (48, 64, 3)).astype(np.uint8))
        depth = np.full((24, 32), 2000 + i, np.uint16)
        depth[0, 0] = 0
        cv2.imwrite(f"{name}.png", depth)
        pose = LOOKS_ALONG_X.copy()
        pose[0, 3] = 0.2 * i
        np.savetxt(f"{name}.txt", pose, fmt="%f")


def _item(number, scene, asked, answered, dataset, kind, **rest):
    metadata = {"dataset": dataset, "question_type": kind} | rest.pop("metadata", {})
    said = [{"value": asked, "from": "human"}, {"value": answered, "from": "gpt"}]
    return {"id": number, "video": scene, "conversations": said, "metadata": metadata} | rest


def video3dllm(folder):
    """The data folder of Video-3D-LLM with three scenes."""
    identify = "<image>Identify the object according to the following description.\n"
    anyhow = "\nThere may be no corresponding object, or there may be one or more objects."
    tasks = {"scanrefer_vg": [], "multi3drefer": [], "scan2cap": [], "scanqa": [], "sqa3d": []}
    for n, scene in enumerate(SCENES):
        _images(folder / "scannet/posed_images" / scene[8:], n)
        for k, box in enumerate(BOXES):
            number = 2 * n + k
            text = ["This is a red chair. it is by the door.", "This is a long table."][k]
            tasks["scanrefer_vg"].append(
                _item(
                    number,
                    scene,
                    identify + text,
                    "<ground>",
                    "scanrefer",
                    ("unique", "multiple")[k],
                    box=box,
                )
            )
            tasks["multi3drefer"].append(
                _item(
                    number,
                    scene,
                    identify + text + anyhow,
                    "<ground>",
                    "multi3drefer",
                    ("mt", "zt_wo_d")[k],
                    box=BOXES[:2] if k == 0 else [],
                )
            )
            tasks["scan2cap"].append(
                _item(
                    number,
                    scene,
                    "<image> Given an object located at <coord> , describe the object in detail.",
                    text,
                    "scan2cap",
                    "unique",
                    box_input=box if k == 0 else None,
                    gt_box=box,
                    annotations=[text, text + " It is near the wall."],
                )
            )
            answer = ["red chair", "table"][k]
            tasks["scanqa"].append(
                _item(
                    f"scanqa_val-{n}-{k}_0",
                    scene,
                    f"<image> What is at place {k}? Answer the question simply.",
                    answer,
                    "scanQA",
                    "unknow",
                    metadata={"answers": [answer, "thing"]},
                )
            )
            tasks["sqa3d"].append(
                _item(
                    220602000000 + number,
                    scene,
                    "<image> I am by the bed. "
                    + ["What is left?", "Is it dark?"][k]
                    + " Answer the question using a single word or phrase.",
                    ["chair", "no"][k],
                    "sqa3d",
                    ("what", "is")[k],
                )
            )
    for name, items in tasks.items():
        split = "test" if name == "sqa3d" else "val"
        _write(folder / "processed" / f"{name}_{split}_llava_style.json", items)
    proposals = {scene: [*BOXES, [0, 0, 1, 0.1, 0.1, 0.1]] for scene in SCENES}
    _write(folder / "metadata/scannet_val_pred_box.json", proposals)
    (folder / "embodiedscan").mkdir()
    with (folder / "embodiedscan/embodiedscan_infos_val.pkl").open("wb") as file:
        pickle.dump(infos(), file, protocol=4)
    return folder


VSI = [
    ("object_counting", "How many chairs are there?", "4", None),
    ("object_counting", "How many lamps are there?", "2", None),
    ("room_size_estimation", "How large is the room?", "25.5", None),
    ("object_rel_direction_easy", "Is the bed left or right?", "A", ["A. left", "B. right"]),
    ("route_planning", "How to go on?", "B", ["A. back", "B. turn left", "C. wait"]),
]


def vsi_bench(folder, frames=12):
    """The downloaded folder of VSI-Bench with three videos."""
    rows = []
    for n, scene in enumerate(["47333462", "47333463", "scene0144_01"]):
        source = "scannet" if scene.startswith("scene") else "arkitscenes"
        path = folder / source / f"{scene}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (64, 48))
        assert video.isOpened()
        for i in range(frames):
            video.write(np.full((48, 64, 3), 20 * i + 10 * n, np.uint8))
        video.release()
        for k, (kind, question, truth, options) in enumerate(VSI):
            rows.append(
                {
                    "id": 5 * n + k,
                    "dataset": source,
                    "scene_name": scene,
                    "question_type": kind,
                    "question": question,
                    "ground_truth": truth,
                    "options": options,
                }
            )
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
