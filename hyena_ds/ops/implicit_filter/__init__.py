"""The implicit filter, fused; `hyena_ds/model/filter.py` computes it in torch."""
