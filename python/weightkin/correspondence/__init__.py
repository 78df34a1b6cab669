"""Correspondence: which expert, neuron, attention head and layer of one model is which of the other."""
