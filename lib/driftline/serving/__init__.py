"""Predictions without Spark and Java: the portable model, and servers around it.

Nothing here imports pyspark, Delta's JVM side or MLflow. ``model`` runs the ONNX file, ``champion``
finds it, ``service`` is what every way in shares (REST, Open Inference Protocol, gRPC, Lambda).
"""
