//! Workload shapes shared by the benchmark suites.
