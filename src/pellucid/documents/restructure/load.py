"""Templates by name, from a YAML file, or written in the recipe; all that is wrong with one is shown at once."""

import json
import re
from pathlib import Path

from pydantic import ValidationError

from pellucid.core.errors import Problem, RecipeError
from pellucid.documents.files import InputFile
from pellucid.documents.restructure.template import Phrasing, Template, parse_phrasing
from pellucid.recipe.merge import suggest
from pellucid.recipe.problems import field_text, translate
from pellucid.recipe.template import TemplateConfig, TemplateFieldConfig
from pellucid.recipe.tree import Stamp, TreeError, parse_yaml, plain

__all__ = ["load_template", "template_file", "template_names"]

_SHIPPED = Path(__file__).parent / "templates"


def template_names() -> list[str]:
    """Return the names of the templates that are shipped."""
    return sorted(file.stem for file in _SHIPPED.glob("*.yaml"))


def template_file(template: str, base: Path) -> InputFile | None:
    """Return the file that a source's `template` names, or None where the template is written in the recipe itself.

    Raises `RecipeError` when there is no such file or shipped template.
    """
    if "{" in template:
        return None
    is_path = template.lower().endswith((".yaml", ".yml"))
    path = base / template if is_path else _SHIPPED / f"{template}.yaml"
    if not path.is_file():
        known = template_names()
        near = suggest(template, known)
        where = f"there is no file {path}" if is_path else "no template of that name is shipped"
        fix = (
            f"did you mean {near}?" if near else f"shipped are: {', '.join(known)}; or give a .yaml file, or a text with {{fields}}"
        )
        raise RecipeError(f"template {template!r}", [Problem("template", where, fix)])
    size = path.stat().st_size
    return InputFile(str(path), template, size, f"{size}@{path.stat().st_mtime_ns}")


def load_template(template: str, base: Path) -> Template:
    """Return the template that a source names: a text with {placeholders}, a .yaml file relative to `base`, or a shipped one.

    Raises `RecipeError` with all problems of the file.
    """
    file = template_file(template, base)
    if file is None:
        try:
            phrasing = parse_phrasing(template)
        except ValueError as error:
            raise RecipeError(f"template {template[:40]!r}", [Problem("template", str(error), _BRACES)]) from error
        return Template("recipe", {name: TemplateFieldConfig() for name in phrasing.names}, (phrasing,), {})
    config = _read(file)
    problems: list[Problem] = []
    fields = {name: field or TemplateFieldConfig() for name, field in config.fields.items()}
    phrasings = _parse(config.phrasings, "phrasings", fields, problems)
    languages = {code: _parse(texts, f"languages.{code}", fields, problems) for code, texts in config.languages.items()}
    used = {name for one in (phrasings, *languages.values()) for phrasing in one for name in phrasing.names}
    for name, field in fields.items():
        if name not in used and not problems:
            problems.append(Problem(f"fields.{name}", "no phrasing uses it", f"write {{{name}}} in a phrasing, or leave it out"))
        problems += _field_problems(name, field)
    problems += [
        Problem(f"languages.{code}", "must hold at least one phrasing") for code, texts in config.languages.items() if not texts
    ]
    if problems:
        raise RecipeError(file.path, problems)
    return Template(file.name, fields, phrasings, languages)


_BRACES = "a placeholder is {name}; a brace that is meant is written {{ or }}"


def _read(file: InputFile) -> TemplateConfig:
    try:
        tree = parse_yaml(Path(file.path).read_bytes().decode("utf-8-sig"), Stamp("given", file.name))
        raw = plain(tree) if tree is not None else None
        if not isinstance(raw, dict):
            raise TreeError([Problem("(file)", "must be a mapping of keys to values", "begin with: task, fields, phrasings")])
        return TemplateConfig.model_validate_json(json.dumps(raw), strict=True)
    except TreeError as error:
        raise RecipeError(file.path, error.problems) from error
    except UnicodeDecodeError as error:
        raise RecipeError(file.path, [Problem("(file)", f"is not UTF-8: byte {error.start}", "save the file as UTF-8")]) from error
    except ValidationError as error:
        findings = translate(error.errors(include_url=False), TemplateConfig)
        raise RecipeError(file.path, [Problem(field_text(one.loc), one.message, one.fix) for one in findings]) from error


def _parse(
    texts: tuple[str, ...], place: str, fields: dict[str, TemplateFieldConfig], problems: list[Problem]
) -> tuple[Phrasing, ...]:
    phrasings = []
    for index, text in enumerate(texts):
        try:
            phrasing = parse_phrasing(text.removesuffix("\n"))
        except ValueError as error:
            problems.append(Problem(f"{place}[{index}]", str(error), _BRACES))
            continue
        for name in dict.fromkeys(phrasing.names):
            if name not in fields:
                near = suggest(name, list(fields))
                fix = f"did you mean {{{near}}}?" if near else f"fields: {', '.join(fields)}"
                problems.append(Problem(f"{place}[{index}]", f"{{{name}}} is not among the fields", fix))
        if not phrasing.names:
            problems.append(Problem(f"{place}[{index}]", "holds no placeholder, so every record would give the same text"))
        phrasings.append(phrasing)
    return tuple(phrasings)


def _field_problems(name: str, field: TemplateFieldConfig) -> list[Problem]:
    problems = []
    if field.pick is None:
        extra = [key for key, given in (("labels", field.labels), ("first", field.first), ("letter", field.letter)) if given]
        problems += [Problem(f"fields.{name}.{key}", "needs pick", "give pick: the path of the list") for key in extra]
    elif field.list is not None or field.map:
        other = "list" if field.list is not None else "map"
        problems.append(Problem(f"fields.{name}.{other}", "cannot stand beside pick", "leave out one of them"))
    try:
        re.compile(field.remove or "")
    except re.error as error:
        problems.append(Problem(f"fields.{name}.remove", f"got {field.remove!r}; is no regular expression: {error}"))
    return problems
