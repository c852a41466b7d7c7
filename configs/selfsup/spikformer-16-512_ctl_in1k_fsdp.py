# The DDP job with weights, gradients and AdamW's states sharded by FSDP
# torchrun --nnodes=4 --nproc-per-node=8 --no-python snnssl train CONFIG --launcher pytorch --amp bfloat16
# Not with LARS, whose norms would be those of shards. Checkpoints are unsharded files.
_base_ = 'spikformer-16-512_ctl_in1k_ddp.py'
strategy = dict(
    type='FSDPStrategy',
    state_dict_cfg='full',
    model_wrapper=dict(
        auto_wrap_policy=dict(
            type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy',
            min_num_params=2_000_000)))  # a block of 512 channels has 3.2 million
