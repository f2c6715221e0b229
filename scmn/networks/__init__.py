"""The networks: tensors in, tensors out; no files, no data sets, no devices by name."""
