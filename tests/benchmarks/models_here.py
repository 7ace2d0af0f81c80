"""Runs a service's model in this process: the same preparation and inference, without gRPC."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bestshot.image.v1 import image_pb2

from services.common.config.sections import SharedSettings, parse_arguments

Analyse = Callable[[image_pb2.Image], Any]


def model_here(name: str, worker_threads: int = 1) -> tuple[Analyse, int]:
    """Loads the model of a service.

    Returns:
        A function that analyses one picture (or compares it with itself), and the long side in
        pixels that the model requires (0 = the whole canonical picture).
    """
    arguments = ["--address", "127.0.0.1:0", "--set", f"worker_threads={worker_threads}"]
    invocation = parse_arguments(name, arguments)
    shared = invocation.settings("shared", SharedSettings)
    caught: list[Any] = []
    importlib.import_module(f"services.{name}.__main__").build(invocation, shared).register(
        _Catcher(caught)
    )
    servicer = caught[0]
    batchers = [one for one in vars(servicer).values() if type(one).__name__ == "DynamicBatcher"]

    def analyse(image: image_pb2.Image) -> Any:
        (result,) = batchers[0]._infer([batchers[0]._prepare(image)])
        if len(batchers) > 1:
            (result,) = batchers[1]._infer([(result, result)])
        return result

    return analyse, servicer._info.model.input_long_side_px


class _Catcher:
    """Stands in for a server during registration, to capture the servicer."""

    def __init__(self, servicers: list[Any]) -> None:
        self._servicers = servicers

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        for handler in handlers:
            for method in handler._method_handlers.values():
                self._servicers.append(method.unary_unary.__self__)

    def add_registered_method_handlers(self, *_: Any) -> None:
        pass
