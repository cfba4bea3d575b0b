"""Linear layers and attention as each machine computes them fastest."""
