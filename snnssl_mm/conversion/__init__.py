"""Conversion of checkpoints between other projects' layouts and this package's."""

from snnssl_mm.conversion.convert import Conversion, convert
from snnssl_mm.conversion.detect import LAYOUTS, OURS, detect
from snnssl_mm.conversion.rules import Layout, Rule

__all__ = ["LAYOUTS", "OURS", "Conversion", "Layout", "Rule", "convert", "detect"]
