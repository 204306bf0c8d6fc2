"""The proof: seeded simulation of the real kernel and the real store, an independent checker, and named mutants."""
