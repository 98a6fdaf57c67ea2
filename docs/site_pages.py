"""What the site has besides pages: an entry at its root, a gallery of notebooks, and pages that play."""

import base64
import io
from pathlib import Path
from typing import Any

import explorers
import nbformat
from docutils import nodes
from PIL import Image
from sphinx.util.docutils import SphinxDirective

from zoo.papers import list_pretrained
from zoo.papers.weights import HERE

left_out: dict[str, str] = {}  # why a pair has no page with sliders

ROOT = Path(__file__).parents[1]
ENTRY = '<!DOCTYPE html><meta charset="utf-8"><title>{title}</title><meta http-equiv="refresh" content="0; url={url}">'


def setup(app: Any) -> dict[str, bool]:
    """Registers the entry and the directives."""
    app.add_directive("gallery", Gallery)
    app.add_directive("explorer", Explorer)
    app.add_directive("pretrained", Pretrained)
    app.connect("builder-inited", write_pages)
    app.connect("source-read", add_page)
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


class Pretrained(SphinxDirective):
    """A table of the pretrained pairs: length of training, size of the weights, and page with sliders."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        rows = ["| pair | trained for | weights | play |", "| --- | --- | ---: | --- |"]
        for name, card in list_pretrained().items():
            weights = HERE / f"{explorers.stem(name)}.safetensors"
            self.env.note_dependency(str(weights))
            page = f"[{name}](../zoo/papers/weights/{explorers.stem(name)}.md)"
            play = f"none: {left_out.get(name, 'not written')}"
            if name in (written := explorers.pages(Path(self.env.app.outdir))):
                size = written[name].stat().st_size / 1e6
                play = f'<a href="{explorers.address(self.env.docname, written[name])}">a page of {size:.1f} MB</a>'
            rows.append(f"| {page} | {card.length} | {weights.stat().st_size / 1e3:,.0f} kB | {play} |")
        return self.parse_text_to_nodes("\n".join(rows))


class Explorer(SphinxDirective):
    """The page with sliders of a pretrained pair."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A frame with the page."""
        name = self.arguments[0]
        if name not in (written := explorers.pages(Path(self.env.app.outdir))):
            return [nodes.paragraph("", left_out.get(name, "The site has such a page where it is built as HTML."))]
        source = explorers.address(self.env.docname, written[name])
        frame = f'<iframe class="explorer" loading="lazy" title="{name}" src="{source}"></iframe>'
        return [nodes.raw("", f'{frame}<p><a href="{source}">{name} on its own page</a></p>', format="html")]


def write_pages(app: Any) -> None:
    """Writes the pages that play, before the documents are read."""
    if app.builder.format == "html":
        left_out.update(explorers.write(Path(app.outdir)))


def add_page(app: Any, docname: str, source: list[str]) -> None:
    """Shows each pair's page with sliders at the end of its card."""
    for name in list_pretrained():
        if docname == f"zoo/papers/weights/{explorers.stem(name)}":
            source[0] += f"\n## Play with it\n\n```{{explorer}} {name}\n```\n"


def _write_entry(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        url = app.builder.get_target_uri(app.config.root_doc)
        page = ENTRY.format(title=app.config.html_title, url=url) + f'<a href="{url}">{app.config.html_title}</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")
