"""Where is this person in the corpus? Readers, the exact index, Presidio, attribution, redaction."""
