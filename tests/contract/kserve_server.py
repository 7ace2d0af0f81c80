"""KServe's own model server for ONNX files, in a separate Python environment.

kserve needs other versions of our dependencies, so it has its own virtual environment, and this
file imports none of our code. Arguments: gRPC port, HTTP port, and name=file of each model.
"""

import sys

import numpy as np
import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer

DATATYPES = {"tensor(float)": "FP32"}


class OnnxModel(Model):
    """One graph."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.ready = True

    async def get_input_types(self) -> list[dict[str, object]]:
        return [self._facts(spec) for spec in self._session.get_inputs()]

    async def get_output_types(self) -> list[dict[str, object]]:
        return [self._facts(spec) for spec in self._session.get_outputs()]

    async def predict(self, payload, headers=None, response_headers=None):  # noqa: ANN001, ANN201
        feeds = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        names = [spec.name for spec in self._session.get_outputs()]
        outputs = []
        for name, values in zip(names, self._session.run(names, feeds), strict=True):
            output = InferOutput(name, list(values.shape), "FP32")
            output.set_data_from_numpy(np.asarray(values), binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)

    @staticmethod
    def _facts(spec: onnxruntime.NodeArg) -> dict[str, object]:
        shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
        return {"name": spec.name, "datatype": DATATYPES[spec.type], "shape": shape}


def main() -> None:
    """Serves until stopped."""
    grpc_port, http_port, *models = sys.argv[1:]
    hosted = [OnnxModel(*one.split("=", 1)) for one in models]
    server = ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), workers=1)
    server.start(hosted)


if __name__ == "__main__":
    main()
