# Fine-tuning on 1 % of ImageNet-1K's labels, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# 12,800 images in batches of 8 GPUs x 32: 50 iterations an epoch
_base_ = 'spikformer-16-512_finetune-10pct_in1k.py'
train_dataloader = dict(dataset=dict(fraction=0.01))
