"""The compiles of a run as a picture: SVG, a page that zooms, a trace for a browser's viewer."""
