"""Works without its extension too, only slower."""
