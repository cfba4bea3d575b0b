"""OpenVINO and NNCF tell their maker that they are used, unless somebody has declined in a file of their own; here they do not."""

import sys
from typing import Any, cast

__all__ = ["without_openvino_telemetry"]


def without_openvino_telemetry() -> None:
    """Make the package that would send be missing, which both allow for. To be called before the first import of either."""
    cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)
