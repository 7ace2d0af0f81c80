"""The networks of the face roles; each can be replaced by another network of its role.

Inputs and outputs follow the networks' authors; models.yaml lists the sources.
"""
