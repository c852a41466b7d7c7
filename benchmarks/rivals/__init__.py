"""Compared implementations: spikingjelly 2.0 and mmpretrain's Barlow Twins.

They use the layers and losses of these libraries, assembled if the library has no equal
network. Common settings are made equal, so that both sides compute the same function.
"""

from snnssl_mm import compat

compat.apply()  # before mmpretrain is imported
