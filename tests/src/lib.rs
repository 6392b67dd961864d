//! End-to-end tests, and the long checks behind `cargo xtask`: here is what they share.
//! All of it works from the outside, on the real binary.

pub mod backlog;
pub mod canaries;
pub mod core_speed;
pub mod drain;
pub mod end;
pub mod figures;
pub mod flip;
pub mod kill;
pub mod latency;
pub mod log_choice;
pub mod loops_speed;
pub mod matrix;
pub mod memory;
pub mod pass_through;
pub mod process;
pub mod register;
pub mod sealing;
pub mod sim;
pub mod swap;
pub mod table_load;
pub mod tamper;
pub mod topics;
