"""What the project is compared with: spikingjelly 2.0 and mmpretrain's Barlow Twins.

Their own layers and losses, put together where they have no such whole. Settings that
both have are made equal, so that both compute the same function.
"""

from snnssl_mm import compat

compat.apply()  # before mmpretrain is imported
