"""Depth networks of transformers with small random weights, saved as folders of the hub are."""

from __future__ import annotations

import json

import torch
import transformers as hf

DINO = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "mlp_ratio": 2,
    "image_size": 56, "patch_size": 14,
}  # fmt: skip


def depth_anything(estimates="metric"):
    config = hf.DepthAnythingConfig(
        backbone_config=hf.Dinov2Config(
            **DINO,
            out_features=["stage1", "stage2", "stage3", "stage4"],
            reshape_hidden_states=False,
        ),
        reassemble_hidden_size=16,
        patch_size=14,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=estimates,
        max_depth=20,
    )
    return hf.DepthAnythingForDepthEstimation(config)


def glpn():
    config = hf.GLPNConfig(
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )
    return hf.GLPNForDepthEstimation(config)


def zoedepth():
    config = hf.ZoeDepthConfig(
        backbone_config=hf.BeitConfig(
            image_size=64,
            patch_size=16,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=16,
            use_relative_position_bias=True,
            reshape_hidden_states=False,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        bottleneck_features=8,
        num_relative_features=8,
        bin_embedding_dim=8,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )
    return hf.ZoeDepthForDepthEstimation(config)


def depth_pro(use_fov_model=True):
    small = {
        "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 4,
        "num_attention_heads": 2, "mlp_ratio": 2, "patch_size": 4, "image_size": 16,
    }  # fmt: skip
    config = hf.DepthProConfig(
        patch_size=16,
        fusion_hidden_size=16,
        intermediate_hook_ids=[2, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.2],
        scaled_images_feature_dims=[8, 8],
        merge_padding_value=2,
        image_model_config=small,
        patch_model_config=small,
        fov_model_config=small,
        use_batch_norm_in_fusion_residual=False,
        num_fov_head_layers=1,
        use_fov_model=use_fov_model,
    )
    return hf.DepthProForDepthEstimation(config)


NETWORKS = {
    "depth_anything": (
        depth_anything,
        {"size": {"height": 56, "width": 56}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
    ),
    "depth_pro": (depth_pro, {"size": {"height": 64, "width": 64}}),
    "glpn": (glpn, {}),
    "zoedepth": (
        zoedepth,
        {"size": {"height": 64, "width": 96}, "keep_aspect_ratio": True, "ensure_multiple_of": 32},
    ),
}
_PROCESSORS = {
    "depth_anything": hf.DPTImageProcessorPil,
    "glpn": hf.GLPNImageProcessorPil,
    "zoedepth": hf.ZoeDepthImageProcessorPil,
}


def write_depth_network(folder, kind, **options):
    """A folder as the hub has it."""
    build, settings = NETWORKS[kind]
    torch.manual_seed(0)
    build(**options).save_pretrained(folder)
    if kind in _PROCESSORS:
        _PROCESSORS[kind](**settings).save_pretrained(folder)
    else:  # whose processor cannot be made without torchvision
        values = {"image_processor_type": "DepthProImageProcessor", **settings}
        (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder
