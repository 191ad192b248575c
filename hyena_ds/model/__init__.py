"""The HyenaDNA model, written once; the modeling file of an export is generated from this source."""
