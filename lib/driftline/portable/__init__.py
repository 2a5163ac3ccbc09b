"""The model without Spark: what MLlib saved → one ONNX file, and the proof that both score alike.

``saved`` reads a saved pipeline's numbers, ``graph`` writes them as ONNX, ``proof`` compares. What
runs the file is ``driftline.serving``. No pickle is written or read anywhere.
"""

FILE = "portable.onnx"
"""The file's name, beside the Spark model it was made from."""
