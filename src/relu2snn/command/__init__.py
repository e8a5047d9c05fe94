"""The command `relu2snn`: the library from a shell, with files in and files out; nothing imports this room."""
