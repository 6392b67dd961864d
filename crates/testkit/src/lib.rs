//! What tests stand on: real Kafka and schema registry, whole sites, made-up people, and judges that share no code with the judged.

pub mod given;
mod guarded;
pub mod histories;
pub mod house;
pub mod kafka;
pub mod keyring;
pub mod openbao;
pub mod oracle;
pub mod parts;
pub mod ports;
pub mod registry;
pub mod sim;
pub mod site;
