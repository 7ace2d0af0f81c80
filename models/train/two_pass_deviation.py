"""Rewrites the stored describe graph to compute its deviations in two passes.

    python -P -m models.train.two_pass_deviation && python -P -m models.train.pin_builtin

The weights of the built-in comparator were trained when `train_siamese` computed a deviation as
sqrt(E[x^2] - E[x]^2 + 1e-4). In float32 that difference falls below -1e-4 for flat pictures, and
its square root is NaN. This changes only those nodes, to sqrt(E[(x - E[x])^2] + 1e-4), which is
equal in exact arithmetic, so the trained weights stay valid; newly trained weights are exported in
this form.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

GRAPH = Path("models/builtin/siamese-describe.onnx")


def use_two_pass_deviation(model: onnx.ModelProto) -> int:
    """Rewrites every E[x*x] - E[x]*E[x] in a graph in place; returns their number."""
    producers = {output: node for node in model.graph.node for output in node.output}
    nodes = list(model.graph.node)
    count = 0
    for difference in [node for node in nodes if node.op_type == "Sub"]:
        terms = [producers.get(name) for name in difference.input]
        mean_square, square_mean = terms if len(terms) == 2 else (None, None)
        if mean_square is None or mean_square.op_type != "ReduceMean" or square_mean is None:
            continue
        square, mean = producers[mean_square.input[0]], producers.get(square_mean.input[0])
        if {square.op_type, square_mean.op_type} != {"Mul"} or mean is None:
            continue
        pixels, (axes,) = mean.input[0], mean.input[1:]
        if mean.op_type != "ReduceMean" or list(square.input) != [pixels, pixels]:
            continue
        kept, centred, squared = (
            f"{difference.output[0]}_{part}" for part in ("mean", "centred", "squared")
        )
        at = nodes.index(difference)
        nodes[at : at + 1] = [
            helper.make_node("ReduceMean", [pixels, axes], [kept], f"node_{kept}", keepdims=1),
            helper.make_node("Sub", [pixels, kept], [centred], f"node_{centred}"),
            helper.make_node("Mul", [centred, centred], [squared], f"node_{squared}"),
            helper.make_node(
                "ReduceMean",
                [squared, axes],
                list(difference.output),
                difference.name,
                keepdims=0,
            ),
        ]
        gone = {*square.output, *mean_square.output, *square_mean.output}
        nodes = [node for node in nodes if not gone & set(node.output)]
        notes = [note for note in model.graph.value_info if note.name not in gone]
        del model.graph.value_info[:]
        model.graph.value_info.extend(notes)
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return count


def main() -> None:
    model = onnx.load(GRAPH)
    print(f"{GRAPH}: {use_two_pass_deviation(model)} deviations rewritten")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, GRAPH)


if __name__ == "__main__":
    main()
