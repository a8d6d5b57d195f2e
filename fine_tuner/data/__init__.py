"""Sources of images, splits, checks, transforms and batches. Knows neither runs nor the settings tree."""
