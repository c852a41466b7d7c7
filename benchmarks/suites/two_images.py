# RetinaNet that spikes, two images in a batch as on a GPU with COCO: which norm?
# snnssl transfer pretrained=work_dirs/demo/seed0/epoch_28.pth --suite benchmarks/suites/two_images.py
seeds = [0]
baselines = []
config = "../../configs/detection/retinanet_spikformer_spiking-fpn_digits.py"
metrics = {"box AP": "coco/bbox_mAP", "box AP50": "coco/bbox_mAP_50"}
two = {"train_dataloader.batch_size": 2, "optim_wrapper.optimizer.lr": 7e-4}
group = {"type": "GN", "num_groups": 16}
tasks = {
    "batch norm": dict(config=config, metrics=metrics, options=two),
    "group norm": dict(
        config=config,
        metrics=metrics,
        options={
            **two,
            "model.neck.neck.norm_cfg": group,
            "model.bbox_head.norm_cfg": group,
        },
    ),
}
