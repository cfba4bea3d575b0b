"""How far an export may be from its checkpoint, by the type of its numbers.

A type's rounding sets how well it can do. The limits leave room above what was measured (`benchmarks/certificate.py`) and lie below
what a wrong export shows. Two things are bounded: the runtime's distributions, as Kullback-Leibler divergence from the
checkpoint's, and, where the file can be read back, each row of each weight, which sees one wrong head or one wrong token in a
large model, where a divergence over all of it does not.
"""

from dataclasses import dataclass

from pellucid.core.errors import UsageError

__all__ = ["LIMITS", "Limits", "limits_of"]


@dataclass(frozen=True)
class Limits:
    """`kl_*` in nats; `row_error` is the largest |difference| / |row| of a weight's rows (Euclidean norms).

    Each tensor is judged by `row_error` of the type that it is stored in: norms in a Q4_0 file are exact float32.

    `log_probability`: the largest difference of one log-probability, where logits reach no further than 5; it grows with them
    in proportion. None: not bounded.
    """

    kl_mean: float
    kl_p99: float
    row_error: float
    log_probability: float | None = None


_FLOAT32 = Limits(1e-8, 1e-7, 1e-6, 1e-4)
_FLOAT16 = Limits(1e-4, 1e-3, 2e-3, 5e-2)
_BFLOAT16 = Limits(2e-3, 2e-2, 8e-3)
# A block of 32 in Q8_0, Q5_0 or Q4_0 can be off by no more than sqrt(31)/254, /32 or /16 of its size, one weight being far larger
# than the others; the worst rows of SmolLM2-135M reach two thirds of that. Small models lose most: it is 0.40 nats off in the mean
# in Q4_0, on text in languages that it hardly knows.
_BITS_8 = Limits(2e-2, 2e-1, 5e-2)
# The same with one scale for a whole row: sqrt(W - 1)/254 for W weights, 0.15 for SmolLM2-135M's widest rows, of which the worst
# reaches 0.063. The limit holds for any row of up to 2 500 weights; wider ones would have to be nothing but one outlier to pass it.
_ROWS_OF_8_BITS = Limits(2e-2, 2e-1, 2e-1)
# LLM.int8 rounds what a matrix is multiplied with to 8 bits as well: 0.037 nats in the mean on SmolLM2-135M, 0.30 at 99 %.
_ROWS_AND_INPUTS_OF_8_BITS = Limits(1e-1, 1.0, 2e-1)
_BITS_6 = Limits(6e-2, 6e-1, 1e-1)
_BITS_5 = Limits(2e-1, 2.0, 2e-1)
# torchao's int4, groups of 32 around zero, comes to 0.55 nats in the mean there, 3.6 at 99 %; OpenVINO's to 0.46 and 2.7.
_BITS_4 = Limits(1.0, 7.0, 4e-1)

LIMITS: dict[str, Limits] = {
    **dict.fromkeys(("float32", "f32", "fp32"), _FLOAT32),
    **dict.fromkeys(("float16", "f16", "fp16"), _FLOAT16),
    **dict.fromkeys(("bfloat16", "bf16"), _BFLOAT16),
    "q8_0": _BITS_8,
    "int8": _ROWS_OF_8_BITS,
    "llm.int8": _ROWS_AND_INPUTS_OF_8_BITS,
    "q6_k": _BITS_6,
    **dict.fromkeys(("q5_0", "q5_1", "q5_k", "q5_k_s", "q5_k_m"), _BITS_5),
    **dict.fromkeys(("q4_0", "q4_1", "q4_k", "q4_k_s", "q4_k_m", "int4"), _BITS_4),
}
"""By a type's name in small letters, as the formats write it: of whole exports and, but for `llm.int8`, of single tensors."""


def limits_of(number_type: str) -> Limits:
    """Return the limits of a number type. Raises `UsageError` for one that has none."""
    try:
        return LIMITS[number_type.lower()]
    except KeyError:
        raise UsageError(f"number type {number_type!r} has no limits; one of {', '.join(LIMITS)} is expected") from None
