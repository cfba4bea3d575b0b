"""HTML, Mallard and Markdown to blocks of plain text."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

from lxml import etree, html

from builder.blocks import Block, plain_blocks

__all__ = ["html_blocks", "mallard_blocks", "markdown_blocks", "tidy"]

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6", "caption", "summary"}
BLOCKS = {"p", "div", "section", "article", "main", "blockquote", "body", "ul", "ol", "dl", "li", "dt", "dd", "table", "tbody"}
BLOCKS |= {"thead", "tr", "td", "th", "pre", "center", "figure", "figcaption", "address", "header", "footer", "form", "br", "hr"}
BLOCKS |= HEADINGS
SKIPPED = {
    "script",
    "style",
    "head",
    "nav",
    "aside",
    "noscript",
    "button",
    "input",
    "select",
    "svg",
    "math",
    "img",
    "iframe",
    "title",
}
SKIPPED_CLASSES = {
    "navheader",
    "navfooter",
    "toc",
    "docnav",
    "nav_table",
    "menu",
    "manualnavbar",
    "path",
    "revhistory",
    "legalnotice",
}
SKIPPED_CLASSES |= {"footnotes", "list-of-figures", "list-of-tables", "howtogetheader", "related", "sphinxsidebar", "headerlink"}
SKIPPED_CLASSES |= {
    "chlinktop",
    "chlinkprevnexttop",
    "chlinkprevnextbot",
    "chlinkbot",
    "ContChap",
    "header",
    "shortcontents",
    "contents",
}


def tidy(text: str) -> str:
    """Collapse white space, the no-break kinds too, and take the space out before closing punctuation."""
    return re.sub(r" ([,.;)\]])", r"\1", " ".join(text.split()))


def html_blocks(data: bytes, drop: Callable[[etree._Element], bool] | None = None, root: str = "body") -> list[Block]:
    """Return the blocks under the first element that `root` (an XPath tail) names; `drop` tells which elements to leave out."""
    tree = html.document_fromstring(data, parser=html.HTMLParser(encoding="utf-8", huge_tree=True))
    found = tree.xpath(f"//{root}")
    blocks: list[Block] = []
    if found:
        walk(found[0], "p", blocks, drop or (lambda element: False))
    return blocks


def skipped(element: etree._Element, drop: Callable[[etree._Element], bool]) -> bool:
    """Tell whether an element is navigation, script or picture, or what the source leaves out."""
    if not isinstance(element.tag, str) or element.tag in SKIPPED:
        return True
    return bool(SKIPPED_CLASSES & set((element.get("class") or "").split())) or drop(element)


def walk(element: etree._Element, kind: str, blocks: list[Block], drop: Callable[[etree._Element], bool]) -> None:
    """Append the blocks of one block element; the text between its block children becomes blocks of its own kind."""
    inline: list[str] = [element.text or ""]

    def flush() -> None:
        text = tidy("".join(inline))
        if text:
            blocks.append(Block(kind, text))
        inline.clear()

    for child in element:
        if skipped(child, drop):
            pass
        elif child.tag == "pre":
            flush()
            text = "\n".join(line.rstrip() for line in flat(child, drop, keep=True).strip("\n").split("\n"))
            if text.strip():
                blocks.append(Block("pre", text))
        elif child.tag == "tr" and not child.xpath(".//pre"):
            flush()
            cells = [tidy(flat(cell, drop)) for cell in child if isinstance(cell.tag, str)]
            cells = [cell for cell in cells if cell]
            if cells:
                blocks.append(Block("row" if len(cells) > 1 else "p", " | ".join(cells)))
        elif child.tag in BLOCKS:
            flush()
            own = "h" if child.tag in HEADINGS else "li" if child.tag == "li" else kind if kind == "li" else "p"
            if child.tag in {"dt", "dd"}:
                own = "p"
            walk(child, own, blocks, drop)
        elif any(inner.tag in BLOCKS for inner in child.iter() if inner is not child and isinstance(inner.tag, str)):
            flush()
            walk(child, kind, blocks, drop)
        else:
            inline.append(flat(child, drop))
        inline.append(child.tail or "")
    flush()


def flat(element: etree._Element, drop: Callable[[etree._Element], bool], keep: bool = False) -> str:
    """Return the text inside an element without what is skipped; block elements inside a cell are set apart by a space."""
    parts = [element.text or ""]
    for child in element:
        if child.tag == "br":
            parts.append("\n" if keep else " ")
        elif not skipped(child, drop):
            gap = " " if child.tag in BLOCKS and not keep else ""
            parts += [gap, flat(child, drop, keep), gap]
        parts.append(child.tail or "")
    return "".join(parts)


def mallard_blocks(data: bytes) -> list[Block]:
    """Return the blocks of a GNOME help page (Mallard): titles, paragraphs, steps, terms."""
    blocks: list[Block] = []

    def visit(element: ElementTree.Element, kind: str) -> None:
        for child in element:
            name = child.tag.rpartition("}")[2]
            if name in {"info", "media", "links", "credit", "comment"}:
                continue
            if name in {"title", "p", "screen", "code"}:
                text = tidy("".join(child.itertext()))
                own = "h" if name == "title" else "p" if kind == "item" else kind
                if text:
                    blocks.append(Block("li" if kind == "item" and name == "p" else own, text))
            else:
                visit(child, "item" if name == "item" and element.tag.rpartition("}")[2] in {"steps", "list"} else kind)

    visit(ElementTree.fromstring(data), "p")
    return blocks


def markdown_blocks(text: str) -> list[Block]:
    """Return the blocks of R Markdown: without front matter, HTML and link targets; code chunks are kept as listings."""
    text = re.sub(r"\A\s*---\n.*?\n---\s*\n", "", text.replace("\r\n", "\n"), flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    blocks: list[Block] = []
    for index, piece in enumerate(re.split(r"^[ \t]*```+[^\n]*$", text, flags=re.M)):
        if index % 2:
            if piece.strip() and "knitr::" not in piece and "opts_chunk" not in piece:
                blocks.append(Block("pre", "\n".join(line.rstrip() for line in piece.strip("\n").split("\n"))))
            continue
        piece = re.sub(r"^(#+ .*)$", r"\n\1\n", piece, flags=re.M)
        piece = re.sub(r"^\s*([-*+]|\d+\.) ", r"\n\n\1 ", piece, flags=re.M)
        for block in plain_blocks(piece):
            blocks += inline_markdown(block.text)
    return blocks


def inline_markdown(text: str) -> list[Block]:
    """Return a Markdown paragraph as at most one block without its inline marks."""
    kind = "p"
    if heading := re.match(r"#+ +(.*)", text):
        kind, text = "h", re.sub(r"\s*\{[^}]*\}\s*$", "", heading[1])
    elif item := re.match(r"([-*+]|\d+\.) +(.*)", text):
        kind, text = "li", item[2]
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"</?[a-zA-Z][^>]*>|\s?\[-?@[^\]]*\]|(?<!\w)@(?=[A-Za-z])", "", text)
    text = re.sub(r"\*\*([^*]+)\*\*|__([^_]+)__", lambda found: found[1] or found[2], text)
    text = re.sub(r"(?<![\w*_$\\])([*_])(?=\w)([^*_`$]*?\w)\1(?![\w*_])", r"\2", text)
    text = re.sub(r"`r [^`]*`", "", text).replace("`", "")
    text = tidy(text)
    if not text or text.startswith(("[", ":::", "|--", "\\newcommand")) or re.fullmatch(r"[-=*_ |:]+", text):
        return []
    return [Block(kind, text)]
