"""Files of arrays of numbers: .npy, .npz and idx, checked before memory is taken."""
