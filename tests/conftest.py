"""What all tests share: property tests that are repeatable, and nothing else."""

from hypothesis import HealthCheck, settings

# Derandomized: a run of the tests says the same twice. A busy machine must not make a test fail.
settings.register_profile("panal", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("panal")
