"""The documents as a data set in ML Commons' Croissant format 1.1 (mlcommons.github.io/croissant/docs/croissant-spec-1.1.html).

Paths in it are relative to the run's folder: a copy of it beside `documents/` is what is published, and what `mlcroissant` loads.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pellucid.core.artifacts import Manifest, fingerprint, read_manifest
from pellucid.core.files import read_json, write_json
from pellucid.core.parquet import count_values
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.recipe import Recipe

__all__ = ["CROISSANT", "croissant", "write_croissant"]

CROISSANT = "croissant.json"
_PARQUET = "application/x-parquet"
_SPLITS = {"train": "Documents to train on.", "heldout": "Documents that are held out, chosen by the digest of their text."}
_FIELDS = {
    "id": "Identifier of the document, unique inside its source.",
    "text": "The text.",
    "language": "ISO 639 code of the text's language; und where it is not known.",
    "source": "The row of the record set 'sources' that the document belongs to.",
    "licence": "SPDX identifier or expression; NOASSERTION where it is not known.",
    "origin": "Where the document was taken from.",
    "digest": "Hexadecimal sha256 of the text in UTF-8.",
}
_SOURCE_FIELDS = {
    "name": "Name of the source.",
    "category": "Domain of the source.",
    "licence": "SPDX expression: the licence of the source, or those of its documents together.",
    "language": "ISO 639 code for records that name no language of their own; mul for several.",
    "origin": "Files or data set that the source was read from.",
}

_CC_VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")
# Identifiers of the SPDX list (spdx.org/licenses) that text and code come under. Only these get an address: records name their
# licence in any words, and an address made from those would lead nowhere.
_SPDX = frozenset(
    (
        *("0BSD", "AFL-3.0", "Apache-1.1", "Apache-2.0", "Artistic-1.0", "Artistic-2.0", "BSD-1-Clause", "BSD-2-Clause"),
        *("BSD-3-Clause", "BSD-3-Clause-Clear", "BSD-4-Clause", "BSL-1.0", "BlueOak-1.0.0", "CC-PDDC", "CC0-1.0"),
        *(f"CC-{kind}-{number}" for kind in ("BY", "BY-SA", "BY-NC", "BY-ND", "BY-NC-SA", "BY-NC-ND") for number in _CC_VERSIONS),
        *("CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "CDDL-1.0", "CDDL-1.1", "ECL-2.0", "EPL-1.0"),
        *(
            "EPL-2.0",
            "EUPL-1.1",
            "EUPL-1.2",
            "ISC",
            "LPPL-1.3c",
            "MIT",
            "MIT-0",
            "MPL-1.1",
            "MPL-2.0",
            "MS-PL",
            "MS-RL",
            "MulanPSL-2.0",
        ),
        *("GPL-1.0-only", "GPL-1.0-or-later", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"),
        *("LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"),
        *("AGPL-3.0-only", "AGPL-3.0-or-later", "GFDL-1.2-only", "GFDL-1.2-or-later", "GFDL-1.3-only", "GFDL-1.3-or-later"),
        *("NCSA", "ODC-By-1.0", "ODbL-1.0", "OFL-1.1", "OGL-UK-3.0", "OpenSSL", "PDDL-1.0", "PHP-3.01", "PostgreSQL", "PSF-2.0"),
        *("Python-2.0", "Ruby", "SSPL-1.0", "UPL-1.0", "Unicode-3.0", "Unlicense", "Vim", "W3C", "WTFPL", "X11", "Zlib", "ZPL-2.1"),
    )
)

# Names as the specification's own context has them: readers compare it with theirs.
_TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty", "fileObject"),
    *("fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}


def write_croissant(run: Path, recipe: Recipe, out: Path) -> None:
    """Write `out/croissant.json` about the run's documents; raise `ArtifactError` when they are not there or damaged."""
    write_json(out / CROISSANT, croissant(run, recipe))


def croissant(run: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the description as JSON-LD: files with sha256 and size, a set of files and of records by split, and the sources.

    Sizes and digests are those of the manifest, so no file is read for them. The version ends in the digest of all contents.
    """
    documents = run / "documents"
    manifest = read_manifest(documents, "documents")
    funnel = read_json(documents / "funnel.json")["sources"]
    names = [source.name for source in recipe.sources]
    files = {split: {name: _files(manifest, name, split) for name in names} for split in _SPLITS}
    held = {split: [file for name in names for file in files[split][name]] for split in _SPLITS}
    found = {
        name: count_values([documents / file for split in _SPLITS for file in files[split][name]], "licence") for name in names
    }
    licences = sum(found.values(), Counter[str]())
    version = f"1.0.0+{fingerprint(documents)[:16]}"
    year = manifest.started_at[:4]
    steps = {name: [step.step for step in recipe.documents.clean] for name in names}
    steps |= {source.name: [step.step for step in source.clean] for source in recipe.sources if source.clean is not None}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": recipe.name,
        "description": _description(recipe, funnel),
        "citeAs": f"@misc{{{recipe.name}, title = {{{recipe.name}: documents of {len(names)} sources}}, year = {{{year}}}, "
        f"note = {{version {version}}}}}",
        "datePublished": manifest.started_at[:10],
        "version": version,
        "inLanguage": sorted({language for account in funnel.values() for language in account["languages"]}),
        "keywords": sorted({source.category for source in recipe.sources}),
        "license": [_licence(licence) for licence, _ in sorted(licences.items(), key=lambda item: (-item[1], item[0]))],
        "rai:dataPreprocessingProtocol": [f"{name}: {', '.join(taken)}" for name, taken in steps.items() if taken]
        or ["Exact duplicates dropped." if recipe.documents.exact_dedup else "None."],
        "distribution": [
            *(_file_object(manifest, file) for split in _SPLITS for file in held[split]),
            *(_file_set(split) for split in _SPLITS if held[split]),
        ],
        "recordSet": [_sources(recipe.sources, found), *(_documents(split) for split in _SPLITS if held[split])],
    }


def _files(manifest: Manifest, source: str, split: str) -> list[str]:
    return sorted(name for name in manifest.outputs if name.startswith(f"{source}/{split}/") and name.endswith(".parquet"))


def _description(recipe: Recipe, funnel: dict[str, Any]) -> str:
    kept = sum(account["kept"] + account["heldout"] for account in funnel.values())
    size = sum(account["kept_bytes"] + account["heldout_bytes"] for account in funnel.values())
    counted = f"{kept} documents of {size} bytes of text from {len(funnel)} sources."
    return f"{recipe.description.rstrip('.')}. {counted}" if recipe.description else counted


def _licence(expression: str) -> str:
    """Return the address of one of the common licences; anything else, expressions and words alike, stays as it is."""
    return f"https://spdx.org/licenses/{expression}" if expression in _SPDX else expression


def _file_object(manifest: Manifest, file: str) -> dict[str, Any]:
    output = manifest.outputs[file]
    path = f"documents/{file}"
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{output['bytes']} B",
        "encodingFormat": _PARQUET,
        "sha256": output["sha256"],
    }


def _file_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "description": _SPLITS[split],
        "encodingFormat": _PARQUET,
        "includes": f"documents/*/{split}/*.parquet",
    }


def _documents(split: str) -> dict[str, Any]:
    fields = []
    for name, description in _FIELDS.items():
        field = _field(split, name, description)
        field["source"] = {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": name}}
        fields.append(field)
    key = [{"@id": f"{split}/source"}, {"@id": f"{split}/id"}]
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": _SPLITS[split],
        "key": key,
        "field": fields,
    }


def _sources(sources: tuple[SourceConfig, ...], found: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """The sources as records, each with its licence: the recipe's, else those found in its documents."""
    data = [
        {
            "sources/name": source.name,
            "sources/category": source.category,
            "sources/licence": source.licence
            or " AND ".join(f"({each})" if " " in each else each for each in sorted(found[source.name])),
            "sources/language": source.language or "",
            "sources/origin": source.path or source.hub or "",
        }
        for source in sources
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "sources",
        "name": "sources",
        "description": "Where the documents come from.",
        "key": {"@id": "sources/name"},
        "field": [_field("sources", name, description) for name, description in _SOURCE_FIELDS.items()],
        "data": data,
    }


def _field(record_set: str, name: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": f"{record_set}/{name}",
        "description": description,
        "dataType": "sc:Text",
    }
