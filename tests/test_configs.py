"""Every config loads, builds and says the truth; pretraining trains on stand-in data.

tests/test_transfer_configs.py trains the downstream ones.
"""

import copy
import functools
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from inherited_configs import inheriting, small_first
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from monitors import MONITORS, without_monitors
from stand_in_data import shrink_frames, write_recordings

ROOT = Path(__file__).parents[1]
load = functools.cache(Config.fromfile)  # for tests that change nothing in it
FOLDER = ROOT / "configs" / "selfsup"
SHIPPED = sorted(FOLDER.glob("*.py"))
BENCHMARKS = sorted(ROOT.glob("benchmarks/configs/*.py"))
CONFIGS = [
    *SHIPPED,
    *(f for f in BENCHMARKS if load(f).model.type.endswith("DualPathSSL")),
]
DOWNSTREAM = sorted(
    file
    for name in ("classification", "detection", "segmentation")
    for file in ROOT.glob(f"configs/{name}/*.py")
)
LIBRARIES = {
    "mmdetection": "mmdet",
    "mmsegmentation": "mmseg",
    "mmpretrain": "mmpretrain",
}
LINK = re.compile(r"https://github.com/open-mmlab/(\w+)/blob/main/configs/(\S+\.py)$")
FAMILIES = {
    "spike-driven-transformer": "SpikeDrivenTransformer",
    "maxformer": "MaxFormer",
    "meta-spikeformer": "MetaSpikeFormer",
    "e-spikeformer": "ESpikeFormer",
    "spikingformer": "Spikingformer",
}
SIZE = 32
OTHER_SCOPES = ("mmengine", "mmpretrain", "mmseg")


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """Six images in two classes: data_root/{train,test}/<class>/*.png."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(12):
        split, name = ("train", "test")[index % 2], "ab"[index % 3 > 0]
        file = root / split / name / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (48, 32, 3), np.uint8)
        cv2.imwrite(str(file), image)
    return root


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Folder with recordings where the configs expect them, below data/."""
    root = tmp_path_factory.mktemp("recordings")
    write_recordings(root / "data")
    return root


def shrink_crops(pipeline):
    """Replace the sizes of crops by SIZE, in place, at any depth."""
    for transform in pipeline:
        if isinstance(transform, list):
            shrink_crops(transform)
            continue
        for key in ("scale", "crop_size"):
            if key in transform:
                transform[key] = SIZE
        shrink_crops(transform.get("transforms", []))


def with_stand_in_data(cfg, image_folder):
    """Keep the config's pipelines; take the images from ``image_folder``.

    Recordings come from where the config expects them.
    """
    for name in ("train_dataloader", "eval_train_dataloader", "eval_test_dataloader"):
        loader = cfg[name]
        if loader is None:
            continue
        loader.num_workers = 0
        loader.batch_size = 2
        loader.pop("persistent_workers", None)
        loader.pop("pin_memory", None)
        pipeline = loader.dataset.pipeline
        if pipeline[0].type == "snnssl_mm.LoadEvents":
            shrink_frames(pipeline, SIZE)
            if "Digit" in loader.dataset.type:  # it generates its recordings
                loader.dataset.update(num_train=4, num_test=2)
            continue
        if pipeline[0].type in ("MultiView", "PackInputs"):
            pipeline.insert(0, dict(type="LoadImageFromFile"))
            if "eval" in name:
                pipeline.insert(1, dict(type="Resize", scale=SIZE))
        shrink_crops(pipeline)
        loader.dataset = dict(
            type="CustomDataset",
            data_root=str(image_folder),
            data_prefix="test" if "test" in name else "train",
            pipeline=pipeline,
        )


def with_stand_in_teacher(cfg, folder):
    """Give a frozen teacher random weights: a user trains it, or downloads it."""
    if teacher := cfg.model.get("frozen_teacher"):
        teacher.checkpoint = str(folder / "teacher.pth")
        network = MODELS.build(teacher.backbone)
        torch.save({"state_dict": network.state_dict()}, teacher.checkpoint)


def of_the_runner(file):
    """Whether it uses Runner; test_train_distributed.py trains the others."""
    return "runner_type" not in load(file)


@pytest.mark.parametrize("file", small_first(filter(of_the_runner, CONFIGS)))
def test_config_trains_for_two_iterations(
    file, image_folder, recordings, tmp_path, monkeypatch
):
    monkeypatch.chdir(recordings)
    cfg = Config.fromfile(inheriting(file, tmp_path))
    if cfg.optim_wrapper.type == "AmpOptimWrapper" and not torch.cuda.is_available():
        cfg.optim_wrapper = dict(
            type="OptimWrapper", optimizer=cfg.optim_wrapper.optimizer
        )  # without what needs a GPU
    with_stand_in_data(cfg, image_folder)
    with_stand_in_teacher(cfg, tmp_path)
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=2)
    firing_rate = dict(type="snnssl_mm.FiringRateHook", interval=1)
    without_monitors(cfg, firing_rate=firing_rate)
    cfg.param_scheduler = None
    cfg.optim_wrapper.optimizer.weight_decay = 0.0  # which would change weights too
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.logger.interval = 1
    cfg.experiment_name = f"{file.stem}-{tmp_path.name}"
    runner = Runner.from_cfg(cfg)
    assert type(runner.model.data_preprocessor).__name__ == "TwoViewDataPreprocessor"
    before = [p.detach().clone() for p in runner.model.backbone.parameters()]
    runner.train()
    loss = runner.message_hub.get_scalar("train/loss").current()
    assert np.isfinite(loss)
    after = runner.model.backbone.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize(
    "file", SHIPPED + BENCHMARKS + DOWNSTREAM, ids=lambda file: file.stem
)
def test_config_is_short_and_says_what_it_is(file):
    lines = file.read_text().splitlines()
    assert len(lines) < 60
    assert lines[0].startswith("# ")


def inherited(file):
    """Names of the other libraries' configs among a config's bases, at any depth."""
    found = re.search(r"^_base_ = (\[.*?\]|'.*?')", file.read_text(), re.S | re.M)
    bases = re.findall("'(.*?)'", found[1]) if found else []
    own = [base for base in bases if "::" not in base]
    deeper = [name for base in own for name in inherited(file.parent / base)]
    return [base for base in bases if "::" in base] + deeper


@pytest.mark.parametrize("file", DOWNSTREAM, ids=lambda file: file.stem)
def test_first_line_links_to_what_is_inherited(file):
    link = LINK.search(file.read_text().splitlines()[0])
    assert link, "the first line ends with the upstream config's address"
    assert f"{LIBRARIES[link[1]]}::{link[2]}" in inherited(file)


def length(cfg):
    """Return the training length as a number and its unit."""
    by_iterations = "max_iters" in cfg.train_cfg
    return cfg.train_cfg["max_iters" if by_iterations else "max_epochs"], by_iterations


@pytest.mark.parametrize("file", SHIPPED + DOWNSTREAM, ids=lambda file: file.stem)
def test_schedule_ends_with_the_training(file):
    cfg = load(file)
    schedulers = cfg.param_scheduler
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    total, by_iterations = length(cfg)
    last = schedulers[-1]
    assert last.get("by_epoch", True) != by_iterations, "in the unit of the training"
    assert last.get("end", last.get("begin", 0) + last.get("T_max", 0)) == total
    assert last.get("T_max", total - last.begin) == total - last.begin
    if len(schedulers) == 2 and schedulers[0].get("by_epoch", True) != by_iterations:
        assert schedulers[0].end == last.begin


NUMBER = re.compile(r"_(\d+)([xke])(?=_|$)")
NUMBERED = [file for file in SHIPPED + DOWNSTREAM if NUMBER.search(file.stem)]


@pytest.mark.parametrize("file", NUMBERED, ids=lambda file: file.stem)
def test_training_is_as_long_as_the_name_says(file):
    units = {"x": (12, False), "k": (1000, True), "e": (1, False)}
    ((number, unit),) = NUMBER.findall(file.stem)
    factor, by_iterations = units[unit]
    assert length(load(file)) == (int(number) * factor, by_iterations)


def test_coco_and_ade20k_configs_name_their_length():
    long = {file for file in DOWNSTREAM if re.search("_(coco|ade20k)", file.stem)}
    assert long
    assert long <= set(NUMBERED)


def backbone_settings(cfg):
    """Return the settings that decide which weights fit and what they compute."""
    free = {"frozen_stages", "norm_eval", "with_cp", "out_indices", "init_cfg"}
    free.add("time_readout")
    settings = {k: v for k, v in cfg.model.backbone.items() if k not in free}
    if settings["type"].endswith("Spikformer"):
        settings.setdefault("arch", "4-384")
    settings.pop("num_stages", None)  # the first of the pretrained ones
    return {"time_steps": 4, **settings}


@pytest.mark.parametrize("file", DOWNSTREAM, ids=lambda file: file.stem)
def test_model_is_the_one_that_the_name_says(file):
    cfg = load(file)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(copy.deepcopy(cfg.model))
    named = re.search(r"_?spikformer-(\d+-\d+)_", file.stem)
    if named:
        assert cfg.model.backbone.arch == named[1]
        depth, dims = map(int, named[1].split("-"))
        assert (len(model.backbone.blocks), model.backbone.embed_dims) == (depth, dims)
    named = re.search(rf"({'|'.join(FAMILIES)})-([0-9m]+(-[0-9]+)?)_", file.stem)
    if named:
        assert type(model.backbone).__name__ == FAMILIES[named[1]]
        assert cfg.model.backbone.arch.lower() == named[2]
    named = re.search(r"spiking-resnet-(\d+)_", file.stem)
    if named:
        assert model.backbone.depth == int(named[1])
    assert bool(named) == (type(model.backbone).__name__ == "SpikingResNet")
    channels = [model.backbone.channels[i] for i in model.backbone.out_indices]
    if "_c4_" in file.stem:
        assert channels == [cfg.model.rpn_head.in_channels]
        return
    user = cfg.model.get("neck") or cfg.model.get("decode_head") or cfg.model.head
    if user.type == "GlobalAveragePooling":
        user = cfg.model.head
    user = user.get("neck", user)  # of a SpikingNeck
    expected = user.in_channels
    assert channels == (expected if isinstance(expected, list) else [expected])
    if "linear" in file.stem:
        frozen = [p for p in model.parameters() if not p.requires_grad]
        assert len(frozen) == len(list(model.backbone.parameters()))


@pytest.mark.parametrize(
    ("pretraining", "downstream"),
    [
        ("spikformer-4-384_ctl_cifar10", "spikformer-4-384_*_cifar10"),
        ("spikformer-16-512_ctl_in1k", "spikformer-16-512_*"),
        ("spiking-resnet-18_ctl_cifar10", "spiking-resnet-18_*_cifar10"),
        ("spiking-resnet-34_ctl_in1k", "spiking-resnet-34_*"),
        ("spiking-resnet-50_ctl_in1k", "spiking-resnet-50_*"),
        (
            "spike-driven-transformer-8-512_ctl_in1k",
            "_spike-driven-transformer-8-512_*",
        ),
        ("maxformer-10-384_ctl_in1k", "_maxformer-10-384_*"),
        ("meta-spikeformer-15m_ctl_in1k", "_meta-spikeformer-15m_*"),
        ("e-spikeformer-19m_ctl_in1k", "_e-spikeformer-19m_*"),
        ("spikingformer-8-768_ctl_in1k", "_spikingformer-8-768_*"),
    ],
)
def test_pretrained_backbones_are_those_that_downstream_configs_take(
    pretraining, downstream
):
    """Also in settings that no tensor shows: neurons, time steps, normalisation."""
    cfg = load(FOLDER / f"{pretraining}.py")
    files = [f for f in DOWNSTREAM if f.match(f"*{downstream}.py")]
    assert files
    for file in files:
        other = load(file)
        assert backbone_settings(other) == backbone_settings(cfg), file.stem
        images = other.model.get("data_preprocessor") or other.data_preprocessor
        for key in ("mean", "std"):
            assert images[key] == cfg.data_preprocessor[key], file.stem
        rgb = images.get("to_rgb", images.get("bgr_to_rgb"))
        assert rgb == cfg.data_preprocessor.to_rgb, file.stem


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_projector_fits_the_backbone(file):
    cfg = load(file)
    init_default_scope("mmpretrain")
    with torch.device("meta"):
        backbone = MODELS.build(cfg.model.backbone)
    (index,) = backbone.out_indices
    assert cfg.model.neck.in_channels == backbone.channels[index]


@pytest.mark.parametrize("file", SHIPPED + DOWNSTREAM, ids=lambda file: file.stem)
def test_shipped_config_inherited_from_another_folder_is_the_same(file, tmp_path):
    """Also its scopes, so that every name resolves as in the shipped config."""
    own = Config.fromfile(inheriting(file, tmp_path))
    assert own.to_dict() == load(file).to_dict()


def test_training_from_another_folder(run_tool, tiny_options, tmp_path, capsys):
    """A user's config, which wraps the dataset that it inherits."""
    file = inheriting(FOLDER / "spikformer_ctl.py", tmp_path)
    with file.open("a") as text:
        text.write(
            f"default_hooks, param_scheduler = {dict.fromkeys(MONITORS)}, None\n"
            "train_dataloader = dict(dataset=dict(_delete_=True, times=1,\n"
            "    type='RepeatDataset', dataset=_base_.train_dataloader.dataset))\n"
        )
    arguments = [
        f"{name.replace('train_dataloader', 'train_dataloader.dataset')}={value}"
        for name, value in tiny_options.items()
        if name.startswith("train_dataloader.dataset")
    ]
    arguments += ["train_cfg.max_epochs=1", "train_dataloader.batch_size=16"]
    run_tool("check", file, "--no-data")
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    run_tool(
        *("train", file, "--work-dir", tmp_path / "run", "--cfg-options"), *arguments
    )
    assert (tmp_path / "run" / "epoch_1.pth").exists()


@pytest.mark.parametrize(
    "scope",
    ["mmdet", *(pytest.param(s, marks=pytest.mark.slow) for s in OTHER_SCOPES)],
)
def test_names_resolve_in_every_scope_without_custom_imports(scope):
    code = (
        "from mmengine.registry import MODELS, init_default_scope\n"
        "from snnssl_mm import compat\n"
        "compat.torchvision_operators()  # mmdet's registry imports it first\n"
        f"init_default_scope({scope!r})\n"
        "neuron = MODELS.build(dict(type='snnssl_mm.MixedLIF', tau=3.0))\n"
        "assert neuron.config.tau == 3.0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
