"""Low-rank adapters beside frozen matrices (LoRA), the frozen ones in few bits (QLoRA), and peft's files of them."""

__all__: list[str] = []
