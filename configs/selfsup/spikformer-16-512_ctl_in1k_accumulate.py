# Spikformer-16-512 on ImageNet-1K with few GPUs: 8 x 64 images, 4 batches per step
# The step averages the gradients of 4 x 512 images, at the learning rate of 2,048. That
# is NOT the loss of 2,048 images: correlations and batch norms use 512 images at a time,
# however many batches are accumulated, and are noisier with fewer images. The loss of a
# large batch needs all its embeddings at once. To compute it exactly, use more GPUs (the
# loss uses the global batch), or a larger batch_size without accumulation, which
# --amp bfloat16 and model.backbone.with_cp=True make possible (blocks keep only their
# inputs and recompute the rest: the same loss and gradients, in more time).
_base_ = 'spikformer-16-512_ctl_in1k.py'
optim_wrapper = dict(accumulative_counts=4)
