"""The command line: one thin file per verb, and the only place that exits."""
