# Fine-tuning on 10 % of ImageNet-1K's labels, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
# The images are drawn here; for SimCLR's published list set the dataset's ann_file.
_base_ = 'spikformer-16-512_finetune_in1k.py'

# 128,000 images in batches of 8 GPUs x 32: 500 iterations an epoch
train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        _delete_=True,
        type='snnssl_mm.LabelledFraction',
        fraction=0.1,
        seed=0,
        dataset=_base_.train_dataloader.dataset))
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(val_interval=10)  # 50,000 images each time
