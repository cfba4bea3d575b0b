"""A folder that OpenVINO runs: the graph with its key-value state, in float16 or 4 bits a weight, and the tokenizer's files."""

import contextlib
import io
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.core.errors import MissingExtraError
from pellucid.core.files import disk_full_is_explained
from pellucid.core.progress import progress
from pellucid.export.beside import ChatExport, check_vocabulary, write_beside
from pellucid.export.half import float16
from pellucid.export.no_telemetry import without_openvino_telemetry
from pellucid.export.openvino_graph import stateful_graph
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import architecture
from pellucid.recipe.after import OpenVinoType
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["GRAPH", "OpenVinoType", "write_openvino"]


GRAPH = "openvino_model.xml"
"""The name by which OpenVINO's own programs look for it; the weights lie beside it as openvino_model.bin."""

_GROUP, _SMALLEST_GROUP = 64, 32
_KINDS = {"u4": "int4", "u8": "int8"}
_SETTINGS = {"mode": "int4_asym", "group_weights": _GROUP, "smallest_group_weights": _SMALLEST_GROUP, "ratio": 1.0}


def write_openvino(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    type: OpenVinoType,
    chat: ChatExport | None = None,
) -> dict[str, Any]:
    """Write the model as `openvino_model.xml` and `.bin`, and its tokenizer for `AutoTokenizer`; return what was written and how.

    The graph is traced from our own decoder, with attention mask and positions as inputs and keys and values as its state. int4
    goes by NNCF without data: the blocks' matrices as 4-bit integers with a scale and an offset for each group of 64 weights of a
    row (32 where 64 does not divide it), embedding and head, and rows that neither divides, as 8-bit integers with a scale for
    each row; these are named under `kept`. What is no matrix is float16.

    Raises `MissingExtraError` without openvino or nncf, `UsageError` for a shape whose config has no name in transformers, and
    `ArtifactError` where weights, config and tokenizer disagree or a weight does not fit float16.
    """
    _check_extra(type)
    import openvino

    check_vocabulary(config, tokenizer)
    architecture(config)
    for name, tensor in state.items():
        float16(name, tensor)
    model = Decoder(config)
    model.load_state_dict({name: tensor.detach().to("cpu").float() for name, tensor in state.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with progress(f"OpenVINO {type}", 3, "steps") as bar:
        bar.note("tracing")
        graph = stateful_graph(model)
        del model
        bar.advance()
        bar.note("weights")
        if type == "int4":
            graph = _compressed(graph)
        bar.advance()
        with disk_full_is_explained(folder):
            openvino.save_model(graph, folder / GRAPH, compress_to_fp16=True)
            write_beside(config, tokenizer, folder, dtype="float16", chat=chat)
        bar.advance()
    facts = {
        "type": type,
        "written_with": f"openvino {metadata.version('openvino')}"
        + (f", nncf {metadata.version('nncf')}" if type == "int4" else ""),
        "weight_bytes": (folder / GRAPH).with_suffix(".bin").stat().st_size,
    }
    matrices = {name for name, tensor in state.items() if tensor.ndim == 2}
    return facts if type == "fp16" else facts | _SETTINGS | _kept(graph, matrices)


def _check_extra(type: OpenVinoType) -> None:
    without_openvino_telemetry()
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "an OpenVINO export") from error
    if type == "int4":
        try:
            import nncf  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("nncf", "openvino", "an OpenVINO export in int4") from error


def _compressed(graph: Any) -> Any:
    """Return the graph with integers for matrices. NNCF takes any table that is looked up for an embedding, the rotary ones too."""
    import nncf

    tables = [node for node in graph.get_ops() if node.get_friendly_name().startswith("rotary_")]
    lookups = [port.get_node().get_friendly_name() for table in tables for port in table.output(0).get_target_inputs()]
    fallback = nncf.AdvancedCompressionParameters(
        group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST, min_adjusted_group_size=_SMALLEST_GROUP
    )
    nncf.set_log_level(logging.ERROR)
    # Its bars and tables would break into ours.
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.compress_weights(
            graph,
            mode=nncf.CompressWeightsMode.INT4_ASYM,
            ratio=1.0,
            group_size=_GROUP,
            ignored_scope=nncf.IgnoredScope(names=lookups),
            advanced_parameters=fallback,
        )


def _kept(graph: Any, names: Collection[str]) -> dict[str, Any]:
    """How many matrices have which type, and the names of those that have another than 4 bits."""
    kinds: Counter[str] = Counter()
    kept = []
    for node in graph.get_ops():
        name = node.get_friendly_name()
        if node.get_type_name() == "Constant" and name in names:
            kind = _KINDS.get(node.get_element_type().get_type_name(), "float16")
            kinds[kind] += 1
            if kind != "int4":
                kept.append({"tensor": name, "shape": list(node.get_output_shape(0)), "got": kind})
    return {"matrices": dict(sorted(kinds.items())), "kept": kept}
