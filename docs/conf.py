"""Sphinx's settings. The site's sources are put together in build/site, the site in build/docs."""

# SPDX-License-Identifier: BSD-3-Clause

import re
import shutil
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
SITE = ROOT / "build" / "site"

project = "binnet"
author = "the libbinnet developers"
copyright = author
release = version = installed("pybinnet")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["README.md"]  # results.md includes its tables

# The reference: one page for each public name. Types are in the docstrings, with shapes.
default_role = "py:obj"
autodoc_typehints = "none"
autodoc_default_options = {  # scikit-learn makes these, with links to its own pages
    "exclude-members": "set_fit_request, set_partial_fit_request, set_score_request"
}
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False  # the template lists the methods

myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples" / "gallery"),
    "gallery_dirs": "gallery",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "write_computation_times": False,
}

highlight_language = "none"  # of blocks that do not say theirs
html_theme = "furo"
html_title = f"binnet {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# Pages of the site that are files elsewhere in the repository, where links lead to these.
PAGES = {
    "bench/README.md": "measurements.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/firmware/README.md": "firmware-example.md",
    "libbinnet/FORMAT.md": "format.md",
    "SECURITY.md": "security.md",
}


TARGETS = PAGES | {"include/binnet.h": "c.rst", "examples/firmware/": "firmware-example.md"}
LINK = re.compile(r"(!?)\[([^]]*)\]\(([^):]+)\)")


def stage():
    """Put what the site is made of into one folder, with links of Markdown between its pages."""
    shutil.copytree(HERE, SITE, dirs_exist_ok=True)
    for file in ("include/binnet.h", "README.md"):
        shutil.copy2(ROOT / file, SITE)
    for file, page in PAGES.items():
        shutil.copy2(ROOT / file, SITE / page)
    for page in SITE.glob("*.md"):
        page.write_text(LINK.sub(_linked, page.read_text("utf-8")), "utf-8")


def _linked(link):
    image, text, target = link.groups()
    file, hash_, heading = target.lstrip("./").partition("#")
    page = TARGETS.get(file, file.removeprefix("docs/"))
    return f"{image}[{text}]({page}{hash_}{heading})" if (SITE / page).is_file() else text


def setup(_app):
    """Called by Sphinx before it looks for pages."""
    stage()
