"""Write a network as an ONNX file, which other programs run without PyTorch."""
