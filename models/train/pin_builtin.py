"""Writes the digests of models/builtin/*.onnx into configs/models.yaml after training."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

REGISTRY = Path("configs/models.yaml")
BUILTIN = Path("models/builtin")


def main() -> None:
    text = REGISTRY.read_text(encoding="utf-8")
    for path in sorted(BUILTIN.glob("*.onnx")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pattern = rf"(path: builtin/{re.escape(path.name)}, sha256: )[0-9a-f]*"
        text, count = re.subn(pattern, rf"\g<1>{digest}", text)
        print(f"{path.name}: {digest}" if count else f"{path.name}: not in {REGISTRY}")
    REGISTRY.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
