"""From predictions to what is drawn and said of them: plain values, each figure with its interval."""
