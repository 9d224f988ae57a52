"""Heart disease, diagnosed by a model that four hospitals learn together."""
