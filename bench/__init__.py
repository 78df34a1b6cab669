"""Speed, measured against what the machine can do: cases, their peers, and the checkpoints they run on."""
