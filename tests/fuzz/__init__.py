"""Fuzzing every reader of files: small valid files, changed at random, are read as they were or refused in one line.

    make fuzz                          20,000 files over all readers, seed 0
    make fuzz FUZZ="--count 500 --only idx npz --seed 7"

`files.py`, `networks.py` say what small valid files look like and how they are read, `mutate.py` how they are changed,
`server.py` runs the readers in forked children with limits on time and memory.
"""
