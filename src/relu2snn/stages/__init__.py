"""One command-line app per pipeline step: config in, files out."""
