//! One file for each command.

pub mod audit;
pub mod connect;
pub mod init;
pub mod keys;
pub mod mandate;
pub mod ops;
pub mod page;
pub mod policy;
pub mod registry;
pub mod run;
pub mod signed;
