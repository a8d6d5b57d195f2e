"""What is shown of a run or of many: status, progress, sentences, live numbers, lists and comparisons. No torch."""
