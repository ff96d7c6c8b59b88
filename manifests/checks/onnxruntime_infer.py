"""ONNX Runtime runs a small network, written and checked with onnx, as numpy computes it."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((4, 16), np.float32), rng.standard_normal((16, 3), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("MatMul", ["active", "second"], ["score"]),
            helper.make_node("Softmax", ["score"], ["y"], axis=1),
        ],
        "check",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    x = rng.standard_normal((50, 4), np.float32)
    (found,) = session.run(None, {"x": x})
    score = np.maximum(x @ first, 0) @ second
    wanted = np.exp(score - score.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    if found.shape != (50, 3):
        raise AssertionError(f"shape {found.shape}")
    if not np.allclose(found, wanted, atol=1e-5):
        raise AssertionError(f"off by {np.abs(found - wanted).max()}")
    return {"providers": onnxruntime.get_available_providers()}


if __name__ == "__main__":
    run_check(__file__, check)
