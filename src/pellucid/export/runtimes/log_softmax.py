"""Logits as log-probabilities, in float64: runtimes give float32, and differences of 1e-7 are to be told from none."""

import numpy as np
import numpy.typing as npt

__all__ = ["log_softmax"]


def log_softmax(logits_TV: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return natural logs of probabilities, [T, V]: the logits less the log of the sum of their exponentials, by row."""
    values_TV = logits_TV.astype(np.float64)
    values_TV -= values_TV.max(axis=-1, keepdims=True)
    values_TV -= np.log(np.exp(values_TV).sum(axis=-1, keepdims=True))
    return values_TV
