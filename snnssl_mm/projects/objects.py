"""Use of annotated objects only if training and validation both have them."""

from __future__ import annotations

from snnssl_mm.projects.labels import Labels


def use_common_objects(mine: Labels, theirs: Labels) -> list[str]:
    """Drop annotations without objects, and outlines that not all objects have.

    Args:
        mine: Labels for training; changed in place.
        theirs: Labels for validation; changed in place.

    Returns:
        Notes for the user.
    """
    notes = []
    for labels, split in ((mine, "training"), (theirs, "validation")):
        if labels.coco and not any(labels.coco.objects()):
            notes.append(
                f"None of the {len(labels.coco.files)} annotated {split} images has an "
                "object (of 1 pixel or more, and no crowd), which detect.py needs."
            )
            labels.coco = None
    pairs = [
        (row, labels.coco.files[row["image_id"]])
        for labels in (mine, theirs)
        if labels.coco
        for row in labels.coco.objects()
    ]
    bare = [(row["id"], file) for row, file in pairs if not row.get("segmentation")]
    if bare and len(bare) < len(pairs):
        number, file = bare[0]
        notes.append(
            f"Outlines are not used, since {len(bare)} of {len(pairs)} objects have "
            f"none, such as the annotation {number} of {file}; Mask R-CNN and "
            "segment.py need them all."
        )
        for labels in (mine, theirs):
            labels.coco = labels.coco and labels.coco.without_outlines()
    return notes
