"""Sweave papers (LaTeX with R code) to blocks: mathematics stays as LaTeX, text commands go."""

import re

from builder.blocks import Block, plain_blocks
from builder.markup import tidy

__all__ = ["latex_blocks"]

REFERENCES = "label|ref|eqref|index|vspace|hspace|setkeys|bibliographystyle|newcommand|SweaveOpts|pagestyle|usepackage"
FLOATS = "figure|table|tabular|center|sidewaysfigure|thebibliography|Schunk"
ENVIRONMENTS = "itemize|enumerate|description|abstract|quote|quotation|flushleft|document|Sinput"
STYLES = "emph|textbf|textit|texttt|textsf|textrm|textsc|code|pkg|proglang|class|fct|footnote|url|dfn|file|samp|verb|bf|it|tt"
STYLES += "|email|fixme|R|strong|cmd|Rpackage|Rfunction|Robject|Rcode|Rclass|Rfunarg"
LAYOUT = "maketitle|tableofcontents|newpage|clearpage|noindent|bigskip|medskip|smallskip|appendix|centering|sloppy|small"
LAYOUT += "|normalsize|footnotesize|raggedright|par|hfill|vfill|hrule|protect"
GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
CHUNK = r"^(<<.*?>>=\n.*?^@.*?$|\\begin\{S?(?:input|output|verbatim|Code\w*)\}.*?\\end\{[^}]*\})"


def latex_blocks(text: str) -> list[Block]:
    """Return the blocks of a Sweave paper; code chunks that the paper shows become listings."""
    if begin := text.find("\\begin{document}") + 1:
        text = text[begin + 15 :]
    text = text.split("\\end{document}")[0].split("\\begin{thebibliography}")[0].split("\\bibliography{")[0]
    text = re.sub(r"(?<!\\)%.*", "", text)
    blocks: list[Block] = []
    for piece in re.split(CHUNK, text, flags=re.M | re.S):
        if piece.startswith("<<"):
            options, _, body = piece.partition("\n")
            body = body.rpartition("\n@")[0].strip("\n")
            if "echo=f" not in options.replace(" ", "").lower() and body.strip():
                blocks.append(Block("pre", "\n".join(line.rstrip() for line in body.split("\n"))))
        elif not re.match(r"\\begin\{S?(?:input|output|verbatim|Code)", piece):
            blocks += latex_prose(piece)
    return blocks


def latex_prose(text: str) -> list[Block]:
    """Return LaTeX prose as blocks."""
    text = re.sub(rf"\\begin\{{({FLOATS})\*?\}}.*?\\end\{{\1\*?\}}", "\n\n", text, flags=re.S)
    text = re.sub(rf"\\(?:sub)*(?:section|paragraph|chapter)\*?{GROUP}", r"\n\n§\1\n\n", text)
    text = re.sub(r"\\item(\[[^\]]*\])?", r"\n\n• ", text)
    text = re.sub(rf"\\(?:{REFERENCES})\*?(?:\[[^\]]*\])?(?:\{{[^{{}}]*\}}){{1,2}}", "", text)
    text = re.sub(r"[~ ]?\\cite\w*\*?(?:\[[^\]]*\])*\{[^{}]*\}", "", text)
    text = re.sub(rf"\\begin\{{(?:{ENVIRONMENTS})\}}(?:\[[^\]]*\])?|\\end\{{(?:{ENVIRONMENTS})\}}", "\n\n", text)
    for _ in range(3):
        text = re.sub(rf"\\(?:{STYLES}){GROUP}", r"\1", text)
    text = re.sub(r"\{\\(?:em|bf|it|tt|sl|sc|small|large|Large) ([^{}]*)\}", r"\1", text)
    text = re.sub(rf"\\(?:{LAYOUT})\b", "", text)
    for marked, plain in (("``", '"'), ("''", '"'), ("~", " "), ("\\_", "_"), ("\\%", "%"), ("\\&", "&"), ("\\#", "#")):
        text = text.replace(marked, plain)
    blocks: list[Block] = []
    for block in plain_blocks(text):
        kind = {"§": "h", "•": "li"}.get(block.text[0], "p")
        body = tidy(block.text.removeprefix("§").removeprefix("•").replace("{}", ""))
        prose = re.sub(r"\$[^$]*\$|\\begin\{.*?\\end\{[^}]*\}|\\\[.*?\\\]", "", body)
        if body and prose.count("\\") <= 1:  # a paragraph that is still full of commands is layout, not text
            blocks.append(Block(kind, body))
    return blocks
