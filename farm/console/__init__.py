"""Views of the events for people and programs; the only place that prints."""
