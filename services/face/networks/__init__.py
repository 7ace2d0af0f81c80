"""The networks of the face roles; each can be replaced with another network for its role.

Inputs and outputs are as defined by the networks' authors; models.yaml lists the sources.
"""
