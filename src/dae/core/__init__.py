"""What all stages stand on: files that are written whole, random streams, where and how PyTorch computes."""
