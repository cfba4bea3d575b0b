"""What lies beside weights: configs that name code, vocabularies that never end, files that are no files."""

import os
import struct
from typing import Any

from hostile.bases import Place, case, edit_json

__all__ = ["code"]

TRANSFORMERS_TOO = ("evaluate", "serve", "model: like", "init_from", "transformers")


def code(place: Place, name: str) -> None:
    """Put a module beside the weights that makes the canary when it is imported; the harmless twin has it too, and no name for it."""  # noqa: E501
    (place.model / name).write_text(f"open({str(place.canary)!r}, 'w').close()\nclass Model: pass\nclass ModelArgs: pass\n")


@case("config.json: auto_map to code beside it", "hf", TRANSFORMERS_TOO, refused=False)
def _(place: Place, hostile: bool) -> None:
    code(place, "modeling_evil.py")
    mapped = {"AutoConfig": "modeling_evil.Config", "AutoModelForCausalLM": "modeling_evil.Model"}
    edit_json(place.model / "config.json", lambda values: values.update({"auto_map": mapped} if hostile else {}))


@case("config.json: an architecture of its own, by auto_map", "hf", TRANSFORMERS_TOO, "config.json", not_refused=())
def _(place: Place, hostile: bool) -> None:
    code(place, "modeling_evil.py")
    mapped = {"AutoConfig": "modeling_evil.Config", "AutoModelForCausalLM": "modeling_evil.Model"}
    own = {"architectures": ["EvilForCausalLM"], "model_type": "evil", "auto_map": mapped}
    edit_json(place.model / "config.json", lambda values: values.update(own if hostile else {}))


def config(name: str, **values: Any) -> None:
    """Register a case that sets values of config.json."""

    @case(name, "hf", ("evaluate", "model: like", "init_from", "transformers"), "config.json", not_refused=("transformers",))
    def _(place: Place, hostile: bool) -> None:
        edit_json(place.model / "config.json", lambda found: found.update(values if hostile else {}))


config("config.json: 10^12 layers", num_hidden_layers=10**12)
config("config.json: a vocabulary of 2^62", vocab_size=2**62)
config("config.json: a context of 2^62", max_position_embeddings=2**62)
config("config.json: a width of 10^300", hidden_size=10**300)
config("config.json: quantised by a program of its own", quantization_config={"quant_method": "evil", "modules": ["os.system"]})


@case("config.json: nested 10^6 deep", "hf", ("evaluate", "model: like", "init_from", "transformers"), "config.json")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / "config.json").write_bytes(b'{"a":' * 10**6 + b"1" + b"}" * 10**6)


@case("config.json: a pipe that nobody writes to", "hf", ("evaluate", "serve", "model: like", "init_from"), "config.json")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / "config.json").unlink()
        os.mkfifo(place.model / "config.json")


@case(
    "config.json: a link to an endless device",
    "hf",
    ("evaluate", "serve", "model: like", "init_from", "transformers"),
    "config.json",
)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / "config.json").unlink()
        (place.model / "config.json").symlink_to("/dev/zero")


@case("tokenizer_config.json: auto_map to code beside it", "hf", ("serve", "tokenizer", "transformers"), refused=False)
def _(place: Place, hostile: bool) -> None:
    code(place, "tokenization_evil.py")
    own = {"tokenizer_class": "EvilTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_evil.Model", None]}}
    edit_json(place.model / "tokenizer_config.json", lambda values: values.update(own if hostile else {}))


@case("tokenizer_config.json: a list", "hf", ("serve", "tokenizer", "transformers"), "tokenizer_config.json")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / "tokenizer_config.json").write_text("[1, 2]")


VOCABULARY = ("evaluate", "serve", "tokenizer", "model: like")


def vocabulary(name: str, change: Any, *, refused: bool = True, openers: tuple[str, ...] = VOCABULARY) -> None:
    """Register a case that changes the values of tokenizer.json."""

    # A plan only counts the tokens.
    @case(name, "hf", openers, "tokenizer" if refused else "", refused=refused, not_refused=("model: like",))
    def _(place: Place, hostile: bool) -> None:
        edit_json(place.model / "tokenizer.json", lambda values: change(values) if hostile else None)


def _added(id_: Any, content: str = "<evil>") -> dict[str, Any]:
    return {
        "id": id_,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _pattern(regex: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


vocabulary("tokenizer.json: a token with id 2^40", lambda values: values["added_tokens"].append(_added(2**40)))
vocabulary("tokenizer.json: a token with id 2^32 - 1", lambda values: values["model"]["vocab"].update({"evil": 2**32 - 1}))
vocabulary("tokenizer.json: a token with id -1", lambda values: values["model"]["vocab"].update({"evil": -1}))
vocabulary("tokenizer.json: added tokens without names", lambda values: values.update(added_tokens=[{"special": True}, 7, None]))
vocabulary("tokenizer.json: merges of tokens that are not there", lambda values: values["model"].update(merges=[["no", "pe"]] * 3))
vocabulary("tokenizer.json: a normalizer whose table is garbage",
           lambda values: values.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}))  # fmt: skip
vocabulary("tokenizer.json: a split pattern that never ends",
           lambda values: values.update(pre_tokenizer=_pattern(r"(\w+\s?)+\d{40}(?!x)|(a+)+\1z")), refused=False)  # fmt: skip
vocabulary("tokenizer.json: a pattern of 10^5 brackets",
           lambda values: values.update(pre_tokenizer=_pattern("(" * 100_000 + "a" + ")" * 100_000)))  # fmt: skip
vocabulary("tokenizer.json: a normalizer that makes texts a million times longer",
           lambda values: values.update(normalizer={"type": "Sequence", "normalizers": [
               {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 64}] * 4}), refused=False)  # fmt: skip


@case("tokenizer.json: nested 10^6 deep", "hf", VOCABULARY, "tokenizer")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        data = (place.model / "tokenizer.json").read_bytes()
        nested = b'{"type":"Sequence","decoders":[' * 300_000 + b"]}" * 300_000
        (place.model / "tokenizer.json").write_bytes(data.rstrip()[:-1] + b',"decoder":' + nested + b"}")


@case("tokenizer.json: a pipe that nobody writes to", "hf", VOCABULARY, "vocabulary", not_refused=("model: like",))
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / "tokenizer.json").unlink()
        os.mkfifo(place.model / "tokenizer.json")


def pieces(name: str, data: bytes) -> None:
    """Register a case with these bytes for a tokenizer.model, and no tokenizer.json beside it."""

    @case(name, "hf", VOCABULARY, "tokenizer")
    def _(place: Place, hostile: bool) -> None:
        for other in ("tokenizer.json", "pellucid_tokenizer.json") if hostile else ():
            (place.model / other).unlink(missing_ok=True)
        if hostile:
            (place.model / "tokenizer.model").write_bytes(data)


def piece(text: bytes, kind: int = 1) -> bytes:
    inner = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", 0.0) + b"\x18" + bytes([kind])
    return b"\x0a" + bytes([len(inner)]) + inner


pieces("tokenizer.model: a piece of 2^62 bytes", b"\x0a" + b"\xff" * 8 + b"\x3f" + b"abc")
pieces("tokenizer.model: a number without an end", b"\x0a" + b"\xff" * 1000)
pieces("tokenizer.model: groups in groups", b"\x0b" * 100_000 + b"\x0c" * 100_000)
pieces("tokenizer.model: empty", b"")
pieces("tokenizer.model: a million empty pieces", b"\x0a\x00" * 1_000_000)
pieces("tokenizer.model: a table of characters that is garbage",
       piece(b"<unk>", 2) + piece(b"<s>", 3) + piece(b"</s>", 3) + piece(b"a") + b"\x1a\x08\x12\x06\xff\xff\xff\xff\xff\x7f")  # fmt: skip  # noqa: E501
pieces("tokenizer.model: bytes that are spelled wrong",
       piece(b"<unk>", 2) + piece(b"<s>", 3) + piece(b"</s>", 3) + piece(b"<0xZZ>", 6) + piece(b"a"))  # fmt: skip


@case("MLX: model_file, code that mlx-lm can be told to run", "mlx", ("MLX", "evaluate"), "config.json", not_refused=("evaluate",))
def _(place: Place, hostile: bool) -> None:
    code(place, "evil.py")
    edit_json(place.model / "config.json", lambda values: values.update({"model_file": "evil.py"} if hostile else {}))


@case("MLX: model_file by a path that leads outside", "mlx", ("MLX",), "config.json")
def _(place: Place, hostile: bool) -> None:
    code(place, "evil.py")
    (place.model / "evil.py").rename(place.outside / "evil.py")
    found = {"model_file": "../../outside/evil.py"}
    edit_json(place.model / "config.json", lambda values: values.update(found if hostile else {}))


@case("MLX: modules named by the tokenizer's config", "mlx", ("MLX",), "tokenizer_config.json")
def _(place: Place, hostile: bool) -> None:
    code(place, "evil.py")
    own = {"chat_template_type": "..evil", "tool_parser_type": "..evil"}
    edit_json(place.model / "tokenizer_config.json", lambda values: values.update(own if hostile else {}))


@case("MLX: a tokenizer with code of its own", "mlx", ("MLX",), refused=False)
def _(place: Place, hostile: bool) -> None:
    code(place, "tokenization_evil.py")
    own = {"tokenizer_class": "EvilTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_evil.Model", None]}}
    edit_json(place.model / "tokenizer_config.json", lambda values: values.update(own if hostile else {}))


def graph(name: str, change: Any) -> None:
    """Register a case that changes OpenVINO's XML."""

    @case(name, "openvino", ("OpenVINO",), "model")
    def _(place: Place, hostile: bool) -> None:
        file = place.model / "openvino_model.xml"
        if hostile:
            file.write_text(change(file.read_text(), place))


def _declared(text: str, declaration: str, used: str) -> str:
    head, _, rest = text.partition("?>")
    return f"{head}?>\n<!DOCTYPE net [{declaration}]>{rest.replace('<net name=', f'<net about={chr(34)}{used}{chr(34)} name=', 1)}"


_LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))

graph(
    "OpenVINO: an entity that reads a file", lambda text, place: _declared(text, '<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;")
)
graph("OpenVINO: entities that grow tenfold nine times", lambda text, place: _declared(text, f'<!ENTITY a0 "ha">{_LAUGHS}', "&a9;"))
graph("OpenVINO: weights past the end of the file", lambda text, place: text.replace('offset="0"', f'offset="{2**62}"'))
graph("OpenVINO: an operator from a library that it names",
      lambda text, place: text.replace('type="Result"', f'type="Evil" library="{place.outside}/evil.so"'))  # fmt: skip
graph("OpenVINO: nested 10^5 deep", lambda text, place: text.replace("<layers>", "<layers>" + "<layer>" * 100_000, 1))


@case("peft: adapter_model.bin, a pickle", "peft", ("peft",), "adapter_model")
def _(place: Place, hostile: bool) -> None:
    from hostile.weights import pickled

    pickled(place, hostile, place.model / "adapter_model.bin")
    if hostile:
        (place.model / "adapter_model.safetensors").unlink()


@case("peft: a model below that lies elsewhere, and code for it", "peft", ("peft",), refused=False)
def _(place: Place, hostile: bool) -> None:
    own = {
        "base_model_name_or_path": f"../../outside/{'x' * 99}",
        "auto_mapping": {"parent_library": "evil", "base_model_class": "E"},
    }
    edit_json(place.model / "adapter_config.json", lambda values: values.update(own if hostile else {}))


@case("peft: a pattern that never ends for the names of modules", "peft", ("peft",), refused=False)
def _(place: Place, hostile: bool) -> None:
    edit_json(
        place.model / "adapter_config.json", lambda values: values.update({"target_modules": "(.*)*(.+)+z"} if hostile else {})
    )


@case("peft: a rank of 10^12", "peft", ("peft",), "r = 10")
def _(place: Place, hostile: bool) -> None:
    edit_json(place.model / "adapter_config.json", lambda values: values.update({"r": 10**12} if hostile else {}))


@case("peft: layer 10^18", "peft", ("peft",), "layers")
def _(place: Place, hostile: bool) -> None:
    from safetensors.torch import load_file, save_file

    file = place.model / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({name.replace("layers.1.", f"layers.{10**18 if hostile else 1}."): one for name, one in tensors.items()}, file,
              {"pellucid_base_sha256": "", "pellucid_base_kept": "other"})  # fmt: skip
