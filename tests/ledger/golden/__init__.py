"""The golden decisions: what settling made of every outcome when they were recorded, to compare a change with."""
