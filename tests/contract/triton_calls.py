"""Calls a service with tritonclient, in a separate Python; prints the result as JSON.

tritonclient needs an older protobuf than bestshot, so it has its own virtual environment, and
this file imports none of our code.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton


def main() -> None:
    """Makes the call; arguments: address, model, and for each input its name and pictures."""
    address, model, *inputs = sys.argv[1:]
    client = triton.InferenceServerClient(address)
    tensors = []
    for one in inputs:
        name, *paths = one.split(",")
        files = np.array([Path(path).read_bytes() for path in paths], np.object_)
        tensor = triton.InferInput(name, list(files.shape), "BYTES")
        tensor.set_data_from_numpy(files)
        tensors.append(tensor)
    metadata = client.get_model_metadata(model)
    result = client.infer(model, tensors, request_id="seven")
    outputs = {output.name: result.as_numpy(output.name).tolist() for output in metadata.outputs}
    some = client.infer(
        model, tensors, outputs=[triton.InferRequestedOutput(metadata.outputs[0].name)]
    )
    facts = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "other_ready": client.is_model_ready("another"),
        "server": client.get_server_metadata().name,
        "inputs": [[entry.name, entry.datatype, list(entry.shape)] for entry in metadata.inputs],
        "outputs": outputs,
        "id": result.get_response().id,
        "output_count_of_one": len(some.get_response().outputs),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
