"""How Sphinx builds these pages: ``python -m sphinx -W -n --keep-going docs docs/_build/html``."""

import warnings

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

from skrnn import __version__

project = "skrnn"
author = "the skrnn developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = None
suppress_warnings = ["config.cache"]  # the gallery's functions below can't be pickled, so each build reads its options anew

# API reference
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings say it
autosummary_generate = True
numpydoc_show_class_members = False  # the template lists them
numpydoc_validation_checks = {"all"} | {  # but not these:
    *("ES01", "EX01", "SA01", "SA04", "YD01"),  # not all need an extended summary, an example, a See Also
    *("GL01", "GL08", "SS05", "SS06"),  # ruff looks after the first lines
    *("PR04", "PR06", "PR07", "PR09"),  # types and descriptions are in words, where names do not tell
    *("RT01", "RT02", "RT03"),  # returned values are named
}
numpydoc_validation_exclude = {r"\.(Batch|Sequences)\.", r"\.(get|set)_\w+$"}  # low level; inherited from scikit-learn

# Other projects: ``-t online`` fetches their inventories and links to them. Without, their names are no links.
if tags.has("online"):  # noqa: F821  # Sphinx defines it
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "joblib": ("https://joblib.readthedocs.io/en/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
    }
else:
    nitpick_ignore_regex = [
        ("py:.*", r"(numpy|scipy|sklearn|joblib|pandas)\..*"),
        ("std:(ref|term)", ".*"),  # in docstrings that are inherited from scikit-learn
    ]

# Figures of the guide
plot_basedir = "figures"
plot_formats = ["svg"]
plot_include_source = False
plot_html_show_formats = False
plot_html_show_source_link = False
plot_rcparams = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "legend.frameon": False,
}
plot_apply_rcparams = True


def warnings_are_errors(_gallery_conf, _fname, when):
    """Run each example as ``python -W error`` does."""
    warnings.simplefilter("error" if when == "before" else "default")


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("skrnn",),
    "reset_modules": ("matplotlib", warnings_are_errors),
    "reset_modules_order": "both",
    "download_all_examples": False,
    "write_computation_times": False,
}

# HTML
html_theme = "pydata_sphinx_theme"
html_title = f"skrnn {version}"
html_static_path = ["_static"]
html_css_files = ["skrnn.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_copy_source = False
html_use_index = html_domain_indices = False  # the API reference and the search are enough
html_theme_options = {
    "logo": {"text": "skrnn"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {page: [] for page in ("index", "install", "performance", "benchmarks", "changes")}
html_math_renderer = "mathml"


def visit_math(translator, node):
    """Write a formula as MathML, which browsers show by themselves: no script, no font, no network."""
    formula = tex2mathml(node.astext(), as_block=node.tagname == "math_block")
    translator.body.append(f'<div class="formula">{formula}</div>' if node.tagname == "math_block" else formula)
    raise nodes.SkipNode


def setup(app):
    """Register how formulas are written."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
