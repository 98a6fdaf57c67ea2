"""What the site has besides pages: an entry at its root, a gallery of notebooks, and pages that play."""

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from PIL import Image
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]
EXPLORERS = "docs/explorers"
ENTRY = '<!DOCTYPE html><meta charset="utf-8"><title>{title}</title><meta http-equiv="refresh" content="0; url={url}">'


def setup(app: Any) -> dict[str, bool]:
    """Registers the entry and the directives."""
    app.add_directive("gallery", Gallery)
    app.add_directive("explorer", Explorer)
    app.connect("build-finished", _write_entry)
    return {"parallel_read_safe": True}


class Gallery(SphinxDirective):
    """A card for each notebook; a line is "NAME PICTURE: sentence", with the picture's place among the outputs."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The cards."""
        gallery = nodes.container(classes=["gallery"])
        for line in self.content:
            about, _, sentence = line.partition(": ")
            name, picture = about.split()
            notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
            self.env.note_dependency(f"notebooks/{name}.ipynb")
            title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
            uri = self.env.app.builder.get_relative_uri(self.env.docname, f"notebooks/{name}")
            link = nodes.reference("", "", refuri=uri, internal=True)
            html = f'<img alt="" loading="lazy" src="data:image/png;base64,{thumbnail(notebook, int(picture))}">'
            link += [nodes.raw("", html, format="html"), nodes.strong("", title)]
            gallery += nodes.container(
                "", nodes.paragraph("", "", link), nodes.paragraph("", sentence), classes=["card"]
            )
        return [gallery]


def thumbnail(notebook: Any, number: int) -> str:
    """The notebook's picture with this number, 480 pixels wide at most, as base64."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    image = Image.open(io.BytesIO(base64.b64decode(pictures[number]))).convert("RGB")
    image.thumbnail((480, 480))
    small = io.BytesIO()
    image.quantize(128).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


class Explorer(SphinxDirective):
    """The page with sliders of a pretrained pair, where docs/explorers has it; otherwise how to write it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A frame with the page."""
        name = self.arguments[0]
        page = f"{EXPLORERS}/{name.replace('/', '-')}.html"
        self.env.note_dependency(page)
        if not (ROOT / page).is_file():
            command = f"mkdir -p {EXPLORERS} && python -m zoo explore {name} -o {page}"
            words = "This site was built without the page. To include it, write it before the build:"
            return [nodes.paragraph("", words), nodes.literal_block("", command)]
        source = "../" * self.env.docname.count("/") + Path(page).name  # html_extra_path puts it at the site's root
        frame = f'<iframe class="explorer" title="{name}" src="{source}"></iframe>'
        return [nodes.raw("", f'{frame}<p><a href="{source}">{name} on its own page</a></p>', format="html")]


def _write_entry(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        url = app.builder.get_target_uri(app.config.root_doc)
        page = ENTRY.format(title=app.config.html_title, url=url) + f'<a href="{url}">{app.config.html_title}</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")
