"""ReLU networks: building them from a config, training them, and reading weight files."""
