"""The order and the batches of training windows, read at random from shards."""
