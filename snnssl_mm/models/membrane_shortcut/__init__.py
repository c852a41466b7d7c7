"""Backbones with membrane shortcuts: neurons come first, residuals are currents."""
