"""The memory-bound ops on a GPU, in Triton: one module per op. These modules need torch and triton."""
