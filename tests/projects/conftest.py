"""Small folders of images with labels of every kind."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Write 12 images of noise; return their folder."""

    def write(name="photos", count=12, size=(40, 32), folder=""):
        root = tmp_path / name
        (root / folder).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for index in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{index:02d}.png")
        return root

    return write


@pytest.fixture
def coco_file(tmp_path):
    """Write a COCO file of two objects an image; the second class is small."""

    def write(root, name="annotations.json", outlines=False, count=12, **changes):
        files = sorted(root.rglob("*.png"))[:count]
        images = [
            dict(id=i, file_name=file.name, width=40, height=32)
            for i, file in enumerate(files)
        ]
        rows = []
        for image in images:
            for category, (x, y, w, h) in ((3, (2, 4, 20, 16)), (7, (24, 8, 8, 8))):
                row = dict(id=len(rows), image_id=image["id"], category_id=category)
                row |= dict(bbox=[x, y, w, h])
                if outlines:
                    corners = [x, y, x + w, y, x + w, y + h, x, y + h]
                    row |= dict(segmentation=[corners])
                rows.append(row)
        categories = [dict(id=3, name="cell"), dict(id=7, name="plate/let")]
        content = dict(images=images, annotations=rows, categories=categories)
        file = tmp_path / name
        file.write_text(json.dumps({**content, **changes}))
        return file

    return write
