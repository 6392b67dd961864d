//! Prometheus: one recorder for the process. Names are `oneknock_…`; never a household, a worker, a key or an id as a label.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Upper bounds of every histogram, in seconds: from a tenth of a millisecond to the ten seconds after which a worker is told to ask again.
const BUCKETS: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often histograms are drained; without it they grow for ever.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the roles record.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Makes this process's recorder, before any role starts.
///
/// # Errors
/// There is one already.
pub fn install() -> Result<Metrics, BuildError> {
    Ok(Metrics(PrometheusBuilder::new().set_buckets(BUCKETS)?.install_recorder()?))
}

impl Metrics {
    /// A recorder that nobody records into: for a listener in a test.
    #[must_use]
    pub fn detached() -> Metrics {
        Metrics(PrometheusBuilder::new().build_recorder().handle())
    }

    /// In Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Keeps histograms small, until it is dropped.
    pub async fn upkeep(&self) {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            self.0.run_upkeep();
        }
    }
}
