"""Saved networks: Keras' files and HDF5, read where they can do no harm, and written whole."""
