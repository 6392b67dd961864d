//! Which log a check runs on, and the cluster that it brings along.

use anyhow::Result;
use testkit::kafka::Kafka;
use testkit::site::LogChoice;

/// A log that a check can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogKind {
    /// In the process itself.
    Embedded,
    /// One node of Apache Kafka, started for the check.
    Kafka,
}

impl LogKind {
    /// Its word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            LogKind::Embedded => "embedded",
            LogKind::Kafka => "kafka",
        }
    }

    /// Starts what it needs. The cluster ends when it is dropped.
    ///
    /// # Errors
    /// Kafka is not set up or does not start.
    pub async fn start(self) -> Result<(LogChoice, Option<Kafka>)> {
        if self == LogKind::Embedded {
            return Ok((LogChoice::Embedded, None));
        }
        let kafka = tokio::task::spawn_blocking(|| Kafka::start(1)).await??;
        Ok((LogChoice::kafka(&kafka), Some(kafka)))
    }
}
