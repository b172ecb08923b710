//! What is broken by hand is found and named with its cure, and what is safe to mend is mended. Everything real.

#[path = "doctor/docker.rs"]
mod docker;
#[path = "doctor/files.rs"]
mod files;
#[path = "doctor/gateway.rs"]
mod gateway;
#[path = "doctor/matrix.rs"]
mod matrix;
#[path = "doctor/report.rs"]
mod report;
