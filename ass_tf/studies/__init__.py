"""Many runs: plans, the work on them, results, tables, charts and the page."""
