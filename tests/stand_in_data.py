"""Stand-in data: a few images of at most 96 pixels in each dataset's layout."""

import hashlib
import json
import pickle

import cv2
import numpy as np
from mmdet.datasets import CocoDataset
from simulated_recordings import simulated

from snnssl_mm.datasets import write_events


def write_image(file, rng, height=64, width=96):
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), rng.integers(0, 256, (height, width, 3), np.uint8))


def write_coco(root, rng):
    """COCO 2017: JPEGs, boxes and polygons; two objects an image."""
    names = CocoDataset.METAINFO["classes"]
    for split, size in (("train2017", 4), ("val2017", 2)):
        file = root / "annotations" / f"instances_{split}.json"
        write_boxes(file, root / split, size, names, (1, 41), rng)


def write_blood_cells(root, rng):
    """BCCD in COCO's format: all JPEGs in one folder, three classes."""
    for split, size in (("train", 4), ("val", 2)):
        file = root / "annotations" / f"{split}.json"
        names = ("RBC", "WBC", "Platelets")
        write_boxes(file, root / "images", size, names, (1, 2), rng)


def write_boxes(file, folder, size, names, category_ids, rng):
    """Write ``size`` JPEGs and their annotations in COCO's format."""
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(names)]
    content = dict(categories=categories, images=[], annotations=[])
    for index in range(size):
        name = f"{file.stem}_{index:012}.jpg"
        write_image(folder / name, rng)
        image = dict(id=index, file_name=name, height=64, width=96)
        content["images"].append(image)
        for number, category_id in enumerate(category_ids):
            x, y, w, h = 4 + 46 * number, 10 + index, 40, 44
            annotation = dict(
                id=2 * index + number + 1,
                image_id=index,
                category_id=category_id,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
            )
            content["annotations"].append(annotation)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write_ade20k(root, rng):
    """ADEChallengeData2016: JPEGs, and maps of 0 (other) to 150 as PNGs."""
    for split, size in (("training", 4), ("validation", 2)):
        for index in range(size):
            name = f"ADE_{split[:5]}_{index:08}"
            write_image(root / "images" / split / f"{name}.jpg", rng)
            file = root / "annotations" / split / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            labels = rng.integers(0, 151, (4, 6), np.uint8).repeat(16, 0).repeat(16, 1)
            cv2.imwrite(str(file), labels)


def write_imagenet(root, rng):
    """ImageNet-1K with lists in meta/ (without them all 1000 folders are needed)."""
    (root / "meta").mkdir(parents=True)
    for split, size in (("train", 4), ("val", 2)):
        names = [f"n0144076{index}/{split}_{index}.JPEG" for index in range(size)]
        for name in names:
            write_image(root / split / name, rng)
        lines = [f"{name} {label}\n" for label, name in enumerate(names)]
        (root / "meta" / f"{split}.txt").write_text("".join(lines))


def write_cifar10(root, rng):
    """CIFAR-10's pickled batches; returns the files' checksums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    # mmpretrain reads five training batches; the first hold one image each here.
    sizes = {f"data_batch_{number}": int(number < 5) for number in range(1, 6)}
    checksums = {}
    for name, size in {**sizes, "test_batch": 2}.items():
        content = pickle.dumps(
            dict(
                data=rng.integers(0, 256, (size, 3 * 32 * 32), np.uint8),
                labels=rng.integers(0, 10, size).tolist(),
            )
        )
        (folder / name).write_bytes(content)
        checksums[name] = hashlib.md5(content).hexdigest()
    return checksums


def write_recordings(root):
    """N-MNIST, CIFAR10-DVS and DVS128 Gesture as published: random events.

    Four recordings each for training, in two classes, and two for tests; CIFAR10-DVS
    has no part for tests.
    """
    small, large = simulated(height=34, width=34), simulated(height=128, width=128)
    for index in range(6):
        part, label = ("Train", "Test")[index // 4], index % 2
        write_events(root / "n-mnist" / part / str(label) / f"{index}.bin", small)
    for index in range(4):
        name = ("cat", "dog")[index % 2]
        file = root / "cifar10-dvs" / name / f"cifar10_{name}_{index}.aedat"
        write_events(file, large, "aedat2")
    for name, part, number in (("user01", "train", 4), ("user24", "test", 2)):
        folder = root / "dvs-gesture"
        write_events(folder / f"{name}.aedat", large, "aedat3")
        rows = [f"{1 + i},{2000 * i},{2000 * i + 2000}" for i in range(number)]
        table = folder / f"{name}_labels.csv"
        table.write_text("\n".join(["class,start,end", *rows]) + "\n")
        (folder / f"trials_to_{part}.txt").write_text(f"{name}.aedat\n")


def shrink_frames(pipeline, side, time_steps=None):
    """Limit the frames of events to a side, and set T, in place and at any depth."""
    for transform in pipeline:
        if isinstance(transform, list):
            shrink_frames(transform, side, time_steps)
            continue
        shrink_frames(transform.get("transforms", []), side, time_steps)
        if transform["type"] == "snnssl_mm.EventFrames":
            size = transform.get("size")
            transform["size"] = size and tuple(min(s, side) for s in size)
            transform["time_steps"] = time_steps or transform["time_steps"]
