"""Necks and heads for detection and segmentation, and how stock ones become spiking."""
