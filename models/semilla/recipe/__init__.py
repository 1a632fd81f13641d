"""How the weights of `semilla` are made: text in, GGUF file out. Entry point: `make_semilla.py`."""
