"""Settings for recognizing people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeopleParameters:
    """Settings of `people`."""

    enabled: bool
    """whether to recognize the people in the photos. This computes and stores a vector of each
    face, which is biometric data; `bestshot people erase` deletes all of them. It needs the
    identity model of the face service (`bestshot models pull mobilefacenet`)"""
    split_moments: bool
    """whether shots of one moment that show different people become separate moments (needs
    `enabled`).
    People count if they are named, important, or in at least 3 photos of the album"""
