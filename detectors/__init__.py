"""Where is this person in the corpus? Readers, detectors, attribution, redaction."""
