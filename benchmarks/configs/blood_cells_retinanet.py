# The detector of benchmarks/blood_cells.py, on the backbone of blood_cells_ctl.py
_base_ = '../../configs/detection/retinanet_spikformer-2-128_fpn_cells.py'
