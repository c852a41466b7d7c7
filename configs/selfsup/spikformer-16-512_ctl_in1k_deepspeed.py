# The DDP job with gradients and AdamW's states sharded by DeepSpeed's ZeRO, stage 2
# pip install deepspeed; torchrun --nnodes=4 --nproc-per-node=8 --no-python snnssl train CONFIG --launcher pytorch
# Precision is set here, not by --amp: bf16 by autocast, so that batch norms keep fp32
# statistics. For accumulation set the strategy's gradient_accumulation_steps.
_base_ = 'spikformer-16-512_ctl_in1k_ddp.py'
optim_wrapper = dict(type='DeepSpeedOptimWrapper')
strategy = dict(
    type='DeepSpeedStrategy',
    gradient_clipping=0.,  # DeepSpeed's default is a norm of 1
    config=dict(torch_autocast=dict(enabled=True, dtype='bfloat16')),
    zero_optimization=dict(
        stage=2,
        overlap_comm=True,
        contiguous_gradients=True))
