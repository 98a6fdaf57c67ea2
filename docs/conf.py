"""How the site is built.

    python -m sphinx -c docs -W -n --keep-going . build/site

Sphinx, because autodoc finds every reference of the API that leads nowhere, and is maintained; MyST, so that the pages
stay plain Markdown; MyST-NB, which shows notebooks as they are stored; furo, which reads well on a phone.

Sphinx reads the whole repository, so that the same relative links work in the repository and on the site: notebooks,
papers' pages and these pages are built where they are.
"""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import zoo  # noqa: E402

project = "disentangled-zoo"
version = release = zoo.__version__
copyright = "2026, the zoo's authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "myst_nb", "docstrings", "site_pages"]

root_doc = "docs/index"
include_patterns = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**.md",
    "notebooks/*.ipynb",
    "zoo/papers/*/README.md",
    "zoo/papers/weights/*.md",
    "zoo/studies/compatibility/results/matrix.md",
]
exclude_patterns = ["docs/package.md", ".*", "build", "dist", "runs", "data"]

# Notebooks are shown as they are stored: a test runs them.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # notebooks go from a title to a third-level heading

default_role = "literal"
smartquotes = False  # quotes in text are mostly those of code
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# Types of other libraries, which a build without network cannot look up; type aliases and variables, which have no
# entry; and tuples of any length within tuples, which Sphinx does not parse.
LIBRARIES = "torch|pyro|numpy|np|scipy|pandas|pd|matplotlib|PIL|xarray|arviz|joblib"
STANDARD = "argparse|collections|concurrent|contextlib|pathlib|types|typing"
ALIASES = (
    r"P|Done|zoo\.arguments\.F|zoo\.lab\.plots\.style\.R|zoo\.lab\.trials\.parallel\.(Item|Outcome)"
    r"|Backends|Data|Encoder|KL|Latents|Measure|Tensor|zoo\.metrics\.classes\.Data"
)
nitpick_ignore_regex = [("py:.*", rf"({LIBRARIES}|{STANDARD})\..*"), ("py:.*", ALIASES), ("py:class", r"tuple\[str")]

html_theme = "furo"
html_title = f"disentangled-zoo {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options: dict[str, Any] = {"navigation_with_keys": True}
