"""Datasets, and transforms that make two views of an image or of a recording."""

from snnssl_mm.compat import import_mmpretrain

import_mmpretrain("datasets")

from snnssl_mm.datasets.digit_scenes import DigitScenes, generate_digit_scenes
from snnssl_mm.datasets.event_files.files import read_events, write_events
from snnssl_mm.datasets.events.denoising import EventDenoise
from snnssl_mm.datasets.events.digit_events import DigitEvents, generate_digit_events
from snnssl_mm.datasets.events.event_changes import (
    EventDrop,
    EventNoise,
    EventPolarityFlip,
)
from snnssl_mm.datasets.events.event_folder import EventFolder
from snnssl_mm.datasets.events.folded_frames import FoldFrames
from snnssl_mm.datasets.events.frames import EventFrames
from snnssl_mm.datasets.events.loading import LoadEvents
from snnssl_mm.datasets.events.multi_digit_events import (
    multi_digit_event_detection,
    multi_digit_event_segmentation,
)
from snnssl_mm.datasets.events.recording import EVENT, Recording
from snnssl_mm.datasets.events.spatial_views import (
    EventFlip,
    EventResizedCrop,
    EventRotation,
    EventShift,
)
from snnssl_mm.datasets.events.temporal_views import EventTimeJitter, EventTimeWindow
from snnssl_mm.datasets.image_folder import ImageFolder
from snnssl_mm.datasets.labelled_fraction import labelled_fraction, repeated_fraction
from snnssl_mm.datasets.loading import LoadIntactImage
from snnssl_mm.datasets.multi_digit_scenes import (
    multi_digit_detection,
    multi_digit_segmentation,
)
from snnssl_mm.datasets.opencv_transforms import (
    OpenCVColorJitter,
    OpenCVGaussianBlur,
    OpenCVRandomResizedCrop,
)
from snnssl_mm.datasets.views import PhotometricFrames, RandomAffineScene

__all__ = [
    "EVENT",
    "DigitEvents",
    "DigitScenes",
    "EventDenoise",
    "EventDrop",
    "EventFlip",
    "EventFolder",
    "EventFrames",
    "EventNoise",
    "EventPolarityFlip",
    "EventResizedCrop",
    "EventRotation",
    "EventShift",
    "EventTimeJitter",
    "EventTimeWindow",
    "FoldFrames",
    "ImageFolder",
    "LoadEvents",
    "LoadIntactImage",
    "OpenCVColorJitter",
    "OpenCVGaussianBlur",
    "OpenCVRandomResizedCrop",
    "PhotometricFrames",
    "RandomAffineScene",
    "Recording",
    "generate_digit_events",
    "generate_digit_scenes",
    "labelled_fraction",
    "multi_digit_detection",
    "multi_digit_event_detection",
    "multi_digit_event_segmentation",
    "multi_digit_segmentation",
    "read_events",
    "repeated_fraction",
    "write_events",
]
