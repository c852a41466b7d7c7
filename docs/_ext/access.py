"""What the theme leaves out for readers who do not see the page."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def give_levels(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give a level to the headings of the sidebar, which Sphinx writes without one."""
    tree = context.get("furo_navigation_tree", "")
    heading = 'role="heading"'
    context["furo_navigation_tree"] = tree.replace(heading, f'{heading} aria-level="2"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Change the sidebar after the theme has made it."""
    app.connect("html-page-context", give_levels, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
