"""A backbone of somebody else: one spiking convolution, then max-pooling."""

from mmengine.registry import MODELS

from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.models.layers import ConvNormNeuron, halve


@MODELS.register_module()
class ToyBackbone(SpikingBackbone):
    layer_names, channels, stride = (("layer",),), (16,), 2

    def __init__(self, **options):
        super().__init__(num_maps=1, **options)
        self.layer = ConvNormNeuron(3, 16, 3, bias=False, neuron={}, bn="joint")

    def extract_maps(self, x):
        frames, steps = (x[None], self.time_steps) if x.dim() == 4 else (x, len(x))
        return [halve(self.layer(frames, steps))]
