"""Global objects of mmengine: a run's logger, messages and visualizer."""

from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer


def forget_runs():
    """Forget them, so that the next run does not write to the last one's."""
    for keeper in (MMLogger, MessageHub, Visualizer):
        keeper._instance_dict.clear()
