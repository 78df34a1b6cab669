"""The memory-bound ops on a GPU, in Triton: one module per op. Importing one of them needs torch and triton."""
