"""A zoo of small models that were really trained and whose lineage is known: the yardstick for verdicts."""
