"""Exact mapping of trained ReLU networks to single-spike networks (arXiv:2212.12522)."""
