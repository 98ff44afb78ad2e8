"""Many runs: plans, results, tables and charts."""
