"""The ops on a GPU, in Triton: one module per op, of tensors on one device. These modules need torch and triton.

Memory-bound, by blocks of flat rows: `gram` (up to 16 rows), `difference` and its census. Matrix-bound: `cross_gram` (many
rows), `probe` (experts on shared inputs). In the cache: `lagged`. Results are numpy arrays, but device tensors where they are
large (`cross_gram`, `probe`). None depends on how programs are scheduled: sums are added in an order that shapes fix.
"""
