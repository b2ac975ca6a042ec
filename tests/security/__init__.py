"""The product attacked as a stranger would: each test is an attack that has to fail. See docs/security.md."""
