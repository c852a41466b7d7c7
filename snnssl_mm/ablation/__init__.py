"""Ablation studies: grids of small pretraining runs.

* :mod:`~snnssl_mm.ablation.cells`: a cell, one choice on every axis;
* :mod:`~snnssl_mm.ablation.grids`: grids of cells, from text;
* :mod:`~snnssl_mm.ablation.objectives`: what an objective changes in a config;
* :mod:`~snnssl_mm.ablation.data_axes`: views in time, and axes that do not fit;
* :mod:`~snnssl_mm.ablation.runs`: writes the config of a run, and evaluates it;
* :mod:`~snnssl_mm.ablation.results`: table and chart over the seeds;
* :mod:`~snnssl_mm.ablation.labels`: names of cells there.
"""
