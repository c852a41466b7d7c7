# Spikformer-16-512 on ImageNet-1K with few GPUs: 8 x 64 images, 4 of them a step
# The step averages the gradients of 4 x 512 images, at the learning rate of 2,048. That
# is NOT the loss of 2,048 images: correlations, like batch norms, are those of 512 at a
# time, however many are accumulated, and the fewer images, the noisier they are.
# The loss of a large batch needs its embeddings at once. What gives it exactly: more
# GPUs (the batch of all processes counts), or a larger batch_size without accumulation,
# made to fit by --amp bfloat16 and model.backbone.with_cp=True (blocks keep their inputs
# only and compute the rest again: the same loss and gradients, in more time).
_base_ = 'spikformer-16-512_ctl_in1k.py'
optim_wrapper = dict(accumulative_counts=4)
