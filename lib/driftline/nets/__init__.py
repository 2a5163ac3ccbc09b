"""Networks as candidates, and examples to copy: what a class needs is fit, predict, to_onnx."""
