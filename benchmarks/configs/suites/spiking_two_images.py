# RetinaNet that spikes, two images in a batch as on a GPU with COCO: which norm?
# snnssl transfer ctl=CKPT --suite benchmarks/configs/suites/spiking_two_images.py
seeds = [0]
baselines = []
config = '../../../configs/detection/retinanet_spikformer_spiking-fpn_digits.py'
metrics = {'box AP': 'coco/bbox_mAP', 'box AP50': 'coco/bbox_mAP_50'}
# An eighth of the images a step, the square root of it in the learning rate
two = {'train_dataloader.batch_size': 2, 'optim_wrapper.optimizer.lr': 1.8e-3}
group = dict(type='GN', num_groups=16)
tasks = {
    'batch norm': dict(config=config, metrics=metrics, options=two),
    'group norm': dict(
        config=config,
        metrics=metrics,
        options={
            **two,
            'model.neck.norm': group,
            'model.bbox_head.norm_cfg': group,
        },
    ),
}
