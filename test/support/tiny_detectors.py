"""Detectors of transformers with small random weights, saved as folders of the hub are."""

from __future__ import annotations

import json

import torch
import transformers as hf

NAMES = {0: "chair", 1: "couch", 2: "dining table"}
DETR = {
    "d_model": 32,
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 24, 32],
    "decoder_in_channels": [32, 32, 32],
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_queries": 10,
    "num_denoising": 0,
    "id2label": NAMES,
    "label2id": {name: index for index, name in NAMES.items()},
}


def resnet():
    return hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def hgnet():
    return hf.HGNetV2Config(
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 3, 3],
        stage_numb_of_layers=[2, 2, 2, 2],
        stem_channels=[3, 8, 8],
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )


def d_fine():
    return hf.DFineForObjectDetection(hf.DFineConfig(**DETR, backbone_config=hgnet()))


def rt_detr_v2():
    return hf.RTDetrV2ForObjectDetection(hf.RTDetrV2Config(**DETR, backbone_config=resnet()))


def deimv2():
    return hf.Deimv2ForObjectDetection(hf.Deimv2Config(**DETR, backbone_config=hgnet()))


def rf_detr():
    backbone = hf.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=112,
        patch_size=14,
        num_windows=2,
        out_features=["stage2", "stage4"],
    )
    config = hf.RfDetrConfig(
        backbone_config=backbone,
        d_model=32,
        decoder_ffn_dim=32,
        decoder_layers=1,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        num_queries=10,
        group_detr=1,
        id2label=NAMES,
        label2id=DETR["label2id"],
    )
    return hf.RfDetrForObjectDetection(config)


def swin():
    return hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )


def grounding_dino(config_class=None, network_class=None):
    config = (config_class or hf.GroundingDinoConfig)(
        backbone_config=swin(),
        text_config=hf.BertConfig(
            vocab_size=1100,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        ),
        num_queries=12,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_feature_levels=4,
        max_text_len=40,
    )
    return (network_class or hf.GroundingDinoForObjectDetection)(config)


def mm_grounding_dino():
    return grounding_dino(hf.MMGroundingDinoConfig, hf.MMGroundingDinoForObjectDetection)


def owlv2():
    text = {
        "vocab_size": 600,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "bos_token_id": 124,
        "eos_token_id": 125,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 96,
        "patch_size": 16,
    }
    config = hf.Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)
    network = hf.Owlv2ForObjectDetection(config)
    with torch.no_grad():  # boxes near their patches, as after training, and not at the borders
        network.box_head.dense2.weight.mul_(0.01)
    return network


def omdet_turbo(backbone=None):
    config = hf.OmDetTurboConfig(
        backbone_config=backbone or swin(),
        use_timm_backbone=False,
        apply_layernorm_after_vision_backbone=False,
        text_config=hf.CLIPTextConfig(
            vocab_size=600,
            hidden_size=24,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=24,
            bos_token_id=124,
            eos_token_id=125,
        ),
        text_projection_in_dim=24,
        text_projection_out_dim=24,
        class_embed_dim=24,
        task_encoder_hidden_dim=16,
        d_model=16,
        num_queries=10,
        encoder_in_channels=[16, 32, 64],
        vision_features_channels=[16, 16, 16],
        encoder_attention_heads=2,
        encoder_dim_feedforward=16,
        decoder_hidden_dim=16,
        decoder_num_heads=2,
        decoder_num_layers=1,
        decoder_dim_feedforward=16,
    )
    return hf.OmDetTurboForObjectDetection(config)


FIXED = {
    "d_fine": (d_fine, {"size": {"height": 96, "width": 96}}),
    "rt_detr_v2": (rt_detr_v2, {"size": {"height": 96, "width": 96}}),
    "deimv2": (deimv2, {"size": {"height": 96, "width": 96}}),
    "rf_detr": (rf_detr, {"size": {"height": 112, "width": 112}}),
}
FREE = {
    "grounding-dino": (grounding_dino, {"size": {"shortest_edge": 120, "longest_edge": 200}}),
    "mm-grounding-dino": (
        mm_grounding_dino,
        {"size": {"shortest_edge": 120, "longest_edge": 200}},
    ),
    "owlv2": (owlv2, {"size": {"height": 96, "width": 96}}),
    "omdet-turbo": (omdet_turbo, {"size": {"height": 128, "width": 128}}),
}
WORDS = ("a", "the", "red", "chair", "sofa", "table", "lamp", "photo", "of")


def write_bert_tokenizer(folder):
    """Words of a few, and letters; the special tokens where those of BERT are."""
    words = [f"[unused{i}]" for i in range(1100)]
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}
    for index, word in special.items():
        words[index] = word
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    for offset, word in enumerate((*WORDS, *letters, *(f"##{x}" for x in letters))):
        words[200 + offset] = word
    (folder / "vocab.txt").write_text("\n".join(words))
    hf.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


def write_clip_tokenizer(folder):
    """Letters only: every word is as many tokens as it has letters."""
    letters = [*"!\"#$%&'()*+,-./:;<=>?@[]^_", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    words = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    hf.CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), pad_token="!"
    ).save_pretrained(folder)


PROCESSORS = {
    "d_fine": hf.RTDetrImageProcessorPil,
    "rt_detr_v2": hf.RTDetrImageProcessorPil,
    "deimv2": hf.RTDetrImageProcessorPil,
    "grounding-dino": hf.GroundingDinoImageProcessorPil,
    "mm-grounding-dino": hf.GroundingDinoImageProcessorPil,
    "owlv2": hf.Owlv2ImageProcessorPil,
    "omdet-turbo": hf.DetrImageProcessorPil,
}
TOKENIZERS = {
    "grounding-dino": write_bert_tokenizer,
    "mm-grounding-dino": write_bert_tokenizer,
    "owlv2": write_clip_tokenizer,
    "omdet-turbo": write_clip_tokenizer,
}


def write_detector(folder, kind):
    """A folder as the hub has it."""
    build, settings = {**FIXED, **FREE}[kind]
    torch.manual_seed(0)
    build().save_pretrained(folder)
    if kind == "rf_detr":  # its processor cannot be made without torchvision
        settings = {
            "image_processor_type": "RfDetrImageProcessor",
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            **settings,
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    else:
        PROCESSORS[kind](**settings).save_pretrained(folder)
    if kind in TOKENIZERS:
        TOKENIZERS[kind](folder)
    return folder


def write_sam2(folder):
    """SAM 2 for inputs of 128 pixels."""
    torch.manual_seed(0)
    hf.Sam2Model(hf.Sam2Config(**_sam2_parts())).save_pretrained(folder)
    return folder


def write_sam2_video(folder):
    """The same with the memory of a network for videos, as SAM 2 is published."""
    config = hf.Sam2VideoConfig(
        **_sam2_parts(),
        image_size=128,
        memory_attention_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_num_attention_heads=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=16,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
        mask_downsampler_embed_dim=32,
    )
    torch.manual_seed(0)
    hf.Sam2VideoModel(config).save_pretrained(folder)
    return folder


def _sam2_parts():
    backbone = hf.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 1, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[],
    )
    vision = hf.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )
    return {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 32, "image_size": 128, "patch_size": 16},
        "mask_decoder_config": {
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    }
