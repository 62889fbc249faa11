//! Who may come: the tokens of clients, and the operator's.

use sha2::{Digest, Sha256};

use super::SecuritySettings;

/// Stands before the hash of a token, where the token itself might stand.
pub(super) const HASHED: &str = "sha256:";

/// What let a client in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The client's name in the profile; `None` where everybody may come.
    pub client: Option<String>,
    token: Option<Hash>,
}

type Hash = [u8; 32];

/// Where frames wait for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// In the one that leads there.
    First,
    /// Behind each other, for a place in the first.
    Second,
}

impl SecuritySettings {
    /// Where those wait whom `pass` let in: nobody is behind where nobody is preferred.
    pub fn line(&self, pass: &Pass) -> Line {
        let is_preferred = || pass.client.as_ref().is_some_and(|client| self.preferred_clients.contains(client));
        if self.preferred_clients.is_empty() || is_preferred() { Line::First } else { Line::Second }
    }

    /// Whether there is an admin token.
    pub fn has_admin(&self) -> bool {
        !self.admin_token.is_empty()
    }

    /// Whether `token` is the admin's.
    pub fn is_admin(&self, token: &[u8]) -> bool {
        hash_of(&self.admin_token).is_some_and(|expected| is_same(&expected, &Sha256::digest(token).into()))
    }

    /// What lets a client in that shows these `tokens`; `None` when nothing does.
    pub fn pass<'a>(&self, tokens: impl IntoIterator<Item = &'a [u8]>) -> Option<Pass> {
        if self.client_tokens.is_empty() {
            return Some(Pass::default());
        }
        tokens.into_iter().find_map(|token| {
            let hash = Sha256::digest(token).into();
            Some(Pass { client: Some(self.owner(&hash)?.to_owned()), token: Some(hash) })
        })
    }

    /// Whether `pass` is still good.
    pub fn lets_in(&self, pass: &Pass) -> bool {
        self.client_tokens.is_empty() || pass.token.is_some_and(|token| self.owner(&token).is_some())
    }

    /// Whose token it is. All are compared, so that the time tells nothing of them.
    fn owner(&self, token: &Hash) -> Option<&str> {
        let clients = self.client_tokens.iter().map(|(name, token)| (name.as_str(), token));
        clients.chain([("admin", &self.admin_token)]).fold(None, |owner, (name, expected)| {
            let is_theirs = hash_of(expected).is_some_and(|expected| is_same(&expected, token));
            owner.or(is_theirs.then_some(name))
        })
    }
}

/// The SHA-256 of a token as a profile has it; `None` when there is none.
fn hash_of(token: &str) -> Option<Hash> {
    match token.strip_prefix(HASHED) {
        _ if token.is_empty() => None,
        Some(hash) => hex::decode(hash).ok()?.try_into().ok(),
        None => Some(Sha256::digest(token).into()),
    }
}

/// Compares to the end: how long that takes tells nothing.
fn is_same(one: &Hash, other: &Hash) -> bool {
    one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(clients: &[(&str, &str)]) -> SecuritySettings {
        SecuritySettings {
            allowed_origins: Vec::new(),
            admin_token: "an admin's long token".into(),
            client_tokens: clients.iter().map(|(name, token)| ((*name).into(), (*token).into())).collect(),
            trusted_proxies: Vec::new(),
            preferred_clients: Vec::new(),
            allowed_plugins: Vec::new(),
        }
    }

    #[test]
    fn a_pass_is_good_as_long_as_its_token_is() {
        let hashed = format!("{HASHED}{}", hex::encode(Sha256::digest("the second's token")));
        let some = settings(&[("first", "the first's token"), ("second", &hashed)]);
        let pass = some.pass([&b"the second's token"[..]]).expect("a good token");
        assert_eq!(pass.client.as_deref(), Some("second"));
        assert!(some.lets_in(&pass) && !settings(&[("first", "the first's token")]).lets_in(&pass));
        assert!(settings(&[]).lets_in(&pass), "everybody may come");
        let admin = some.pass([&b"wrong"[..], b"an admin's long token"]).expect("the admin's token");
        assert_eq!(admin.client.as_deref(), Some("admin"));
        assert!(some.pass([hashed.as_bytes()]).is_none() && some.pass([]).is_none());
        let nobody = settings(&[]).pass([]).expect("everybody may come");
        assert!(!some.lets_in(&nobody), "who came without a token goes when there is one");
    }
}
