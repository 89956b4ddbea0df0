"""Tests of the bases and mixins, and of mapped classes of every kind."""
