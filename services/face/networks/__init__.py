"""The networks of the face roles; each part may be replaced by another one of its role.

Input and output conventions are those of the networks' authors; see the registry for the sources.
"""
