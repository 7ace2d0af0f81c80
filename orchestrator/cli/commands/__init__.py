"""The commands, by noun or verb.

Slow modules are imported inside functions, so that `bestshot --help` responds at once.
"""
