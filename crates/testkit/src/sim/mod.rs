//! A made-up city for the simulation, and a judge of what is made of it: people who live, move and travel, agencies that see some of
//! it, workers who visit; all from one seed, as plain values. Nothing here knows a log, an owner or the router.
//!
//! [`city::City`] makes a time-ordered script, [`workers::Crew`] answers tasks as people would, [`oracle::Judge`] says which law was
//! broken, [`shrink`] makes a broken script small and readable, and [`pure`] plays a script on the pure core alone.

pub mod city;
mod journeys;
mod known;
pub mod oracle;
mod people;
pub mod pure;
mod registry;
pub mod script;
pub mod shrink;
mod troubles;
pub mod unshared;
pub mod workers;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
