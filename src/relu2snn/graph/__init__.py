"""The network between frameworks: segments and extrema on spike-coded tensors, in plain numpy."""
