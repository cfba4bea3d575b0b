"""Prompts for base models (BOSE): light instructions in context, the perplexity of a filled blank, and the stability they buy.

Base-model-oriented systematic evaluation, Luan et al. 2025 (arXiv 2503.00812; Findings of ACL 2025). What is computed here is
said at each function: it follows the method's idea, and its published prompts are not at hand, so scores compare with no printed
ones.
"""

__all__: list[str] = []
