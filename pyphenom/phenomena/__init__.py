"""One module a phenomenon: what theory predicts, how it is measured, what would contradict it."""
