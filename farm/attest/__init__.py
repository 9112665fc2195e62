"""What lies beside a wheel for whoever must trust it: its SBOM and its provenance."""
