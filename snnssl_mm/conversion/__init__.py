"""Conversion of other projects' checkpoints to this layout and back."""

from snnssl_mm.conversion.convert import Conversion, convert
from snnssl_mm.conversion.detect import LAYOUTS, OURS, detect
from snnssl_mm.conversion.rules import Layout, Rule

__all__ = ["LAYOUTS", "OURS", "Conversion", "Layout", "Rule", "convert", "detect"]
