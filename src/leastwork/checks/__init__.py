"""Is a model what its owner says it is? One question a file, each answered by measurement."""
