"""Faults of images and annotations are found, named by file, and graded."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from torch import nn

from snnssl_mm.engine.guards.batch_faults import batch_faults, non_finite_target
from snnssl_mm.engine.guards.non_finite_search import NonFinite, search
from snnssl_mm.engine.hooks.non_finite_hook import cure

NAN = float("nan")
GOOD = [2.0, 2.0, 10.0, 8.0]


def boxes(*corners, label=1, masks=None):
    sample = DetDataSample(metainfo=dict(img_path="a.png", img_shape=(20, 30)))
    count = len(corners)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(corners), labels=torch.full((count,), label)
    )
    if masks is not None:
        sample.gt_instances.masks = BitmapMasks(masks, *masks.shape[1:])
    return sample


def label_map(labels):
    sample = SegDataSample(metainfo=dict(img_path="a.png"))
    sample.gt_sem_seg = PixelData(data=torch.tensor(labels)[None])
    return sample


FAULTS = {
    "box of NaN": (boxes(GOOD, [NAN, 1.0, 2.0, 3.0]), True),
    "box without height": (boxes(GOOD, [1.0, 5.0, 9.0, 5.0]), True),
    "box of negative width": (boxes([9.0, 5.0, 1.0, 9.0]), True),
    "box beyond the image": (boxes(GOOD, [5.0, 5.0, 40.0, 9.0]), False),
    "box left of the image": (boxes([-9.0, 5.0, 4.0, 9.0]), False),
    "label of no class": (boxes(GOOD, label=3), False),
    "empty mask": (boxes(GOOD, masks=np.zeros((1, 20, 30), np.uint8)), False),
    "mask of half the size": (boxes(GOOD, masks=np.ones((1, 10, 15), np.uint8)), False),
    "nothing but ignored": (label_map([[255, 255]]), False),
    "class of the map": (label_map([[0, 7]]), False),
    "class of the image": (DataSample().set_gt_label(3), False),
    "soft label of NaN": (
        DataSample().set_gt_score(torch.tensor([NAN, 0.0, 1.0])), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_target_is_found(name):
    sample, certain = FAULTS[name]
    sample.set_metainfo(dict(img_path="a.png"))
    (fault,) = batch_faults(torch.zeros(1, 3, 4, 4), [sample], classes=3)
    assert (fault.kind, fault.sample, fault.certain) == ("targets", "a.png", certain)


@pytest.mark.parametrize(
    "sample",
    [
        boxes(GOOD, [0.0, 0.0, 31.0, 20.0], masks=np.ones((2, 32, 32), np.uint8)),
        boxes(),
        label_map([[0, 255, 2]]),
        DataSample().set_gt_label(2),
        DataSample(),
    ],
)
def test_sound_targets_have_no_fault(sample):
    """Rounding, padding, images without objects and ignored pixels are normal."""
    assert batch_faults(torch.zeros(1, 3, 4, 4), [sample], classes=3) == []


def test_certain_faults_come_first_and_views_count_once():
    views = [torch.zeros(3, 3, 4, 4) for _ in range(2)]
    for view in views:
        view[1, 0, 0, 0] = float("inf")
        view[2, 0, 0, 0] = 1e7
    samples = [boxes([5.0, 5.0, 40.0, 9.0]), DataSample(), DataSample()]
    faults = batch_faults(views, samples)
    assert [fault.certain for fault in faults] == [True, False, False]
    assert faults[0].sample == "image 2 of the batch"


def test_nan_in_an_annotation_is_found_before_an_operator_crashes_on_it():
    sound = [boxes(GOOD), label_map([[0]]), DataSample().set_gt_label(1)]
    assert non_finite_target(sound) is None
    fault = non_finite_target([*sound, boxes([NAN, 1.0, 2.0, 3.0])])
    assert fault.sample == "a.png"
    assert "gt_instances.bboxes" in fault.detail


class Net(nn.Module):
    """A backbone and a head; the preprocessor may have a standard deviation of 0."""

    def __init__(self, std=1.0):
        super().__init__()
        self.backbone, self.head, self.std = nn.Linear(2, 2), nn.Linear(2, 1), std

    def data_preprocessor(self, batch, training):
        return {**batch, "inputs": (batch["inputs"] - 1) / self.std}

    def _run_forward(self, data, mode):
        loss = self.head(self.backbone(data["inputs"])).sum()
        (sample,) = data["data_samples"]
        sizes = sample.gt_instances.bboxes[:, 2] - sample.gt_instances.bboxes[:, 0]
        return {"loss": loss + sizes.log().sum()}


def found(model, sample, inputs=((0.5, 1.0),)):
    batch = {"inputs": torch.tensor(inputs), "data_samples": [sample]}
    return search(model, None, batch, classes=3)


def test_targets_are_reported_as_the_cause_of_what_they_explain():
    assert found(Net(), boxes(GOOD)) is None
    degenerate = found(Net(), boxes([9.0, 5.0, 9.0, 9.0]))
    assert (degenerate.kind, degenerate.layer) == ("targets", "a.png")
    broken, beyond = Net(), boxes([5.0, 5.0, 40.0, 9.0])
    broken.head.weight.data.fill_(NAN)
    assert found(broken, beyond).kind == "weights"


def test_the_preprocessor_is_reported_as_the_cause():
    finding = found(Net(std=0.0), boxes(GOOD))
    assert finding.kind == "inputs"
    assert "data_preprocessor" in finding.detail


@pytest.mark.parametrize(
    ("kind", "blames"),
    [("inputs", False), ("targets", False), ("loss", True), ("weights", True)],
)
def test_learning_rate_is_one_possible_cause_of_some_kinds(kind, blames):
    wrapper = SimpleNamespace(get_lr=lambda: {"lr": [0.125]})
    text = cure(SimpleNamespace(optim_wrapper=wrapper), NonFinite(kind, "a.png", ""))
    assert ("0.125" in text) == blames
    assert ("a.png" in text) == (not blames)
