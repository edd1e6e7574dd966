"""Images and files: where data come from, how they are stored, how they are corrupted, what is drawn at random."""
