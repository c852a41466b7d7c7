_base_ = "snnssl_mm::selfsup/spikformer_ctl.py"
custom_imports = dict(imports=["toy_backbone"])
model = dict(
    backbone=dict(_delete_=True, type="ToyBackbone"), neck=dict(in_channels=16)
)
