"""From FASTA to verified shards."""
