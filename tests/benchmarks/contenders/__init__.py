"""The contenders, each as small as its users would write it; ``tests.benchmarks.registry`` lists them."""
