//! What a node needs that talks to clients by TLS alone and knows them by SCRAM: a key, a certificate of its own making, and a user.

use crate::parts;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The node's own alone: nobody learns it, and nobody needs to.
const KEYSTORE_PASSWORD: &str = "of-a-test";

/// A node's key and certificate, and who may come in.
#[derive(Clone)]
pub struct Secured {
    keystore: PathBuf,
    /// Which a client must be told of to believe it.
    certificate: PathBuf,
    user: String,
    password: String,
}

impl Secured {
    /// Makes them in this folder, by the tool that comes with Java.
    ///
    /// # Errors
    /// Java is not set up, or its tool fails.
    pub fn make(folder: &Path) -> Result<Secured> {
        let java = std::fs::canonicalize(parts::path("ONEKNOCK_JAVA")?)?;
        let keytool = java.with_file_name("keytool");
        let (keystore, certificate) = (folder.join("node.p12"), folder.join("node.pem"));
        let call = |words: &[&str]| {
            let mut tool = Command::new(&keytool);
            tool.args(words).args(["-alias", "node", "-storetype", "PKCS12", "-storepass", KEYSTORE_PASSWORD, "-keystore"]).arg(&keystore);
            let output = tool.output().with_context(|| format!("cannot start {}", keytool.display()))?;
            ensure!(output.status.success(), "{} failed: {}", keytool.display(), String::from_utf8_lossy(&output.stdout));
            anyhow::Ok(())
        };
        call(&["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=127.0.0.1", "-ext", "SAN=ip:127.0.0.1"])?;
        call(&["-exportcert", "-rfc", "-file", &certificate.to_string_lossy()])?;
        Ok(Secured { keystore, certificate, user: "oneknock".into(), password: format!("pw-{}", std::process::id()) })
    }

    /// What librdkafka must be told to come in.
    pub(super) fn client_properties(&self) -> BTreeMap<String, String> {
        let properties = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", &self.user),
            ("sasl.password", &self.password),
            ("ssl.ca.location", &self.certificate.to_string_lossy()),
        ];
        properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// For the format of a node's folder: its users are there from the first moment on.
    pub(super) fn format_words(&self) -> [String; 2] {
        ["--add-scram".into(), format!("SCRAM-SHA-512=[name={},password={}]", self.user, self.password)]
    }

    /// Lines of the node's properties: clients come in by this port and no other; the one in clear is for the node itself.
    pub(super) fn properties(&self, clients: u16, itself: u16, controller: u16) -> String {
        format!(
            "listeners=CLIENTS://127.0.0.1:{clients},PLAINTEXT://127.0.0.1:{itself},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{clients},PLAINTEXT://127.0.0.1:{itself}
listener.security.protocol.map=CLIENTS:SASL_SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={}
ssl.keystore.password={KEYSTORE_PASSWORD}
",
            self.keystore.display()
        )
    }
}
