"""Generation of configs for the user's own images, sized for the machine."""

from snnssl_mm.projects.new import new_project

__all__ = ["new_project"]
