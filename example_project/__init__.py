"""The example: the flights that left New York City in 2013, served by fastapix5."""
