"""Debian's packages: which there are, fetched, unpacked, and bootstrapped into bases."""
