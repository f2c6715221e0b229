"""Networks outside PyTorch: export to ONNX, and a segmenter for NumPy and ONNX Runtime."""
