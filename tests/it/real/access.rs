//! Tokens and what is made of them: clients, kubeconfigs, rest.Configs.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{Api, Client, Config, api::PostParams};
use serde_json::json;

/// A cluster takes its users from a file that it reads once.
const USERS: usize = 200;
/// Someone with a token.
#[derive(Clone, Debug)]
pub struct User {
    /// As RBAC and audit name it.
    pub name: String,
    pub token: String,
}

/// All ways into a cluster.
pub struct Access {
    folder: PathBuf,
    port: u16,
    pub admin_token: String,
    pub manager_token: String,
    pub users: Vec<User>,
}

impl Access {
    /// Writes the tokens that an API server reads into its folder.
    pub fn new(folder: &Path, port: u16) -> Access {
        let token = || uuid::Uuid::new_v4().to_string();
        let users = (0..USERS).map(|index| User { name: format!("user-{index}"), token: token() }).collect();
        let access = Access { folder: folder.to_owned(), port, admin_token: token(), manager_token: token(), users };
        let mut lines = String::new();
        for (name, token) in [("admin", &access.admin_token), ("system:kube-controller-manager", &access.manager_token)]
        {
            writeln!(lines, "{token},{name},{name},\"system:masters\"").unwrap();
        }
        for User { name, token } in &access.users {
            writeln!(lines, "{token},{name},{name}").unwrap();
        }
        fs::write(folder.join("tokens.csv"), lines).unwrap();
        access
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The API server makes it when it starts for the first time.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("certificates/apiserver.crt")
    }

    pub fn ca_pem(&self) -> String {
        fs::read_to_string(self.ca_file()).unwrap()
    }

    pub fn client(&self, token: &str) -> Client {
        let mut config = Config::new(self.url().parse().unwrap());
        config.root_cert = Some(certificates(&self.ca_pem()));
        config.auth_info.token = Some(token.to_owned().into());
        Client::try_from(config).unwrap()
    }

    pub fn kubeconfig(&self, name: &str, token: &str) -> String {
        let cluster = json!({"server": self.url(), "certificate-authority-data": STANDARD.encode(self.ca_pem())});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        });
        // JSON is YAML.
        serde_json::to_string_pretty(&config).unwrap()
    }

    pub fn rest_config(&self, token: &str) -> serde_json::Value {
        let trust = json!({"CAData": STANDARD.encode(self.ca_pem())});
        json!({"Host": self.url(), "BearerToken": token, "TLSClientConfig": trust})
    }
}

/// A token by TokenRequest, valid for the hour that is the default.
pub async fn account_token(client: Client, namespace: &str, name: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let request = TokenRequest::default();
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token
}

/// The DER of each certificate of a PEM file.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let bodies = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let bodies = bodies.map(|rest| rest.split("-----END").next().unwrap().split_whitespace().collect::<String>());
    bodies.map(|body| STANDARD.decode(body).unwrap()).collect()
}
