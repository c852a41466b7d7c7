"""A folder of one's own labelled images, for any config."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from snnssl_mm import probing as probes
from snnssl_mm.probing.labelled_folder import with_labelled_folder
from snnssl_mm.probing.labelled_images import class_count, class_names

ROOT = Path(__file__).parents[2]
BGR = (200, 90, 10)  # a colour that is another one when it is turned


def write_images(root, by_class):
    """Two images a class and split; the classes in folders or in label files."""
    for split in ("train", "test"):
        lines = []
        for index, name in enumerate(["cat", "dog", "cat", "dog"]):
            folder = root / split / name if by_class else root / split
            folder.mkdir(parents=True, exist_ok=True)
            image = np.full((20, 26, 3), BGR, np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), image)
            lines.append(name)
        if not by_class:
            (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def cfg(tiny_config):
    return Config.fromfile(tiny_config)


@pytest.mark.parametrize("by_class", [True, False])
def test_folder_takes_the_place_of_the_configs_images(cfg, tmp_path, by_class):
    root = write_images(tmp_path / "pets", by_class)
    loaders = probes.eval_loaders(with_labelled_folder(cfg, root))
    assert class_names(loaders.train.dataset) == ("cat", "dog")
    assert class_count(loaders) == 2
    for loader in loaders:
        (batch,) = loader
        labels = [int(sample.gt_label) for sample in batch["data_samples"]]
        names = [Path(sample.img_path).stem for sample in batch["data_samples"]]
        expected = {"0": 0, "1": 1, "2": 0, "3": 1}
        assert dict(zip(names, labels, strict=True)) == expected
    assert cfg.eval_train_dataloader.dataset.type == "snnssl_mm.DigitScenes"


def test_colours_arrive_as_red_green_blue_where_the_config_says_so(tmp_path):
    """CIFAR-10 in memory is RGB and passes as it is; files are BGR, so they turn."""
    cfg = Config.fromfile(ROOT / "configs/selfsup/spikformer-4-384_ctl_cifar10.py")
    cfg.merge_from_dict(
        {
            "model.backbone.arch": dict(embed_dims=16, depth=1, num_heads=2),
            "model.neck.in_channels": 16,
        }
    )
    for name in ("eval_train_dataloader", "eval_test_dataloader"):
        cfg[name].num_workers = 0
        cfg[name].pop("persistent_workers", None)
    cfg = with_labelled_folder(cfg, write_images(tmp_path, True))
    model = probes.build_eval_model(cfg)
    inputs, _ = next(
        iter(probes.prepared_inputs(model, probes.eval_loaders(cfg).train))
    )
    pixels = cfg.data_preprocessor
    expected = (np.array(BGR[::-1]) - pixels["mean"]) / pixels["std"]
    assert inputs.shape == (4, 3, 32, 32)
    torch.testing.assert_close(
        inputs.mean((0, 2, 3)).double(), torch.tensor(expected), atol=1e-4, rtol=0
    )


def test_configs_that_read_files_keep_their_own_steps(tmp_path):
    cfg = Config.fromfile(ROOT / "configs/_base_/datasets/image_folder_32.py")
    cfg.model = dict()
    found = with_labelled_folder(cfg, write_images(tmp_path, True))
    for name in ("eval_train_dataloader", "eval_test_dataloader"):
        assert found[name].dataset.pipeline == cfg[name].dataset.pipeline
    assert found.labelled_pipeline == cfg.labelled_pipeline


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_part_is_named(cfg, tmp_path, missing):
    root = write_images(tmp_path / "pets", True)
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"pets/{missing}"):
        with_labelled_folder(cfg, root)


def test_one_label_file_is_not_enough(cfg, tmp_path):
    root = write_images(tmp_path / "pets", False)
    (root / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.txt.*test\.txt"):
        with_labelled_folder(cfg, root)


def test_images_in_memory_need_to_be_told_how_files_are_loaded(cfg, tmp_path):
    cfg.file_loading = None
    with pytest.raises(ValueError, match="file_loading"):
        with_labelled_folder(cfg, write_images(tmp_path / "pets", True))


def test_a_config_without_labelled_images_of_its_own_takes_a_folder(cfg, tmp_path):
    root = write_images(tmp_path / "pets", True)
    own = with_labelled_folder(cfg, root)
    cfg.eval_train_dataloader = cfg.eval_test_dataloader = None
    found = with_labelled_folder(cfg, root)
    for name in ("eval_train_dataloader", "eval_test_dataloader"):
        assert found[name].dataset == own[name].dataset
    assert cfg.eval_train_dataloader is None


def test_classes_in_another_order_are_refused(cfg, tmp_path):
    root = write_images(tmp_path / "pets", False)
    cfg = with_labelled_folder(cfg, root)
    cfg.eval_test_dataloader.dataset.metainfo = dict(classes=["dog", "cat"])
    with pytest.raises(ValueError, match=r"\['cat', 'dog'\].*\['dog', 'cat'\]"):
        probes.eval_loaders(cfg)


def test_classes_of_one_split_only_are_named(cfg, tmp_path):
    root = write_images(tmp_path / "pets", True)
    for split in ("train", "test"):
        (root / split / ".ipynb_checkpoints").mkdir()
    (root / "train" / ".ipynb_checkpoints" / "0.png").write_bytes(b"hidden")
    probes.eval_loaders(with_labelled_folder(cfg, root))
    (root / "train" / "cow").mkdir()
    (root / "train" / "cow" / "0.png").write_bytes(
        (root / "train" / "cat" / "0.png").read_bytes()
    )
    message = "training images have cow"
    with pytest.raises(ValueError, match=message):
        probes.eval_loaders(with_labelled_folder(cfg, root))
    (root / "test" / "dog").rename(root / "test" / "Dog")
    message = "training.*cow, dog;.*test.*Dog"
    with pytest.raises(ValueError, match=message):
        probes.eval_loaders(with_labelled_folder(cfg, root))


def test_unlabelled_and_missing_images_are_refused(cfg, tmp_path):
    root = write_images(tmp_path / "pets", False)
    cfg.eval_train_dataloader.dataset = dict(
        type="snnssl_mm.ImageFolder", data_root=str(root / "train"), with_label=False
    )
    message = r"eval_train_dataloader\.dataset.*ImageFolder.*gt_label"
    with pytest.raises(ValueError, match=message):
        probes.eval_loaders(cfg)
