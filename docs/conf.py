"""Configuration of Sphinx: ``make docs`` builds the site into docs/_build/html."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "benchmarks")]

from snnssl_mm import compat  # noqa: E402
from snnssl_mm.version import __version__  # noqa: E402

compat.apply()

project = "snnssl_mm"
author = "The snnssl_mm authors"
copyright = "the snnssl_mm authors, Apache-2.0"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.doctest",
    "access",
    "inventories",
    "mathml",
    "pages",
    "references",
    "results",
    "shell_lines",
]
exclude_patterns = ["_build", "_ext", "inventories"]
html_title = "snnssl_mm"
smartquotes = False  # "--" is the beginning of an option
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_logo = html_favicon = "_static/logo.svg"
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/snnssl-mm/snnssl_mm",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_math_renderer = "mathml"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
myst_html_meta = {
    "description lang=en": "Pretrain spiking backbones without labels, and carry the "
    "weights into mmdet and mmseg.",
}
nb_execution_mode = "off"  # docs/notebooks.py executes them before the build
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
nitpick_ignore = [
    ("py:class", "torch.nn.modules.batchnorm._NormBase"),  # private, without a page
    ("py:class", "NeuronConfig"),  # Mapping[str, Any]
    ("py:class", "Tensor"),  # of constructors, whose annotations stay text
]
