"""The commands, in one module per noun or verb.

Slow modules are imported inside functions, so that `bestshot --help` responds at once.
"""
